"""The figures of the site, each drawn by the command that its page shows; the same commands give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from blocks import files
from command_line import folder, output

DOCS = Path(__file__).resolve().parents[2] / "docs"

#: Figure -> the commands that draw it, the last of which writes it.
PICTURES: Mapping[str, tuple[str, ...]] = {
    "roofline.svg": ("attnsim roofline llama3-8b-prefill llama3-8b-decode h100_sxm -o roofline.svg",),
    "waves.svg": ("attnsim timeline llama3-8b-prefill h100_sxm -o waves.svg",),
    "mask.svg": ("attnsim mask llama3-8b-prefill --set sizes.P=512 --set sizes.M=512 --tile 64/32 -o mask.svg",),
    "neighborhood.svg": ("attnsim mask neighborhood.yaml b200 -o neighborhood.svg",),
    "epoch.svg": ("attnsim explain fusemax-bert-attention fusemax_cloud --epoch epoch.svg",),
    "context.svg": (
        "attnsim cost step3-decode-ideal h800 --model step3,minimax-m1,llama4-maverick --context 1k..128k:log2 --kv -o context.svg",
    ),
    "front.svg": (
        "attnsim sweep llama3-70b-serving h200 --vary deployment.tp=2,4,8 --vary batch=1..256:log2 "
        "--filter 'batch >= deployment.tp' -o serving.parquet",
        "attnsim pareto serving.parquet --minimize tpot_s,usd_per_mtok -o front.svg",
    ),
    "h200.svg": ("attnsim validate h200 --figure h200.svg",),
}


def drawn() -> dict[str, bytes]:
    """Figure -> its bytes."""
    for name, text in files(*sorted(DOCS.rglob("*.md"))).items():
        (folder() / name).write_text(text, encoding="utf-8")
    made = {}
    for name, commands in PICTURES.items():
        for command in commands:
            output(command)
        made[name] = (folder() / name).read_bytes()
    return made
