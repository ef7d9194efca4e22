"""The notebooks: every cell runs, every number in the text is the one its cells print, and what lies in git is source only."""

from __future__ import annotations

import ast
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import attnsim
import attnsim.validate
from attnsim.cli.main import main
from attnsim.validate import run_cases

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]

MOST_LINES = 11
IMPORTS = {"attnsim", "pathlib", "statistics", "tempfile", "textwrap"}

NUMBER = r"(\d+(?:\.\d+)?)"

# What the text says, and the output that says so: regular expressions with # for a number. The text rounds the output.
CLAIMS: dict[str, list[tuple[str, str]]] = {
    "01_first_run": [
        ("what this schedule takes: # us", r"latency +# us\n"),
        ("every byte moved once: # us", r"lower bound +# us\n"),
        ("is their ratio, #,", r"headroom +#\n"),
        ("tensor cores are busy for # %", r"tensor +\S+ us +#% of the latency"),
        ("memory of the device for # %", r"hbm +\S+ us +#% of the latency"),
        ("the time falls by a factor of #", r"time: +# times less"),
        ("FlashAttention-2 was written for the machine before and takes # times", r"flash-attention-2 .* # times as long"),
        ("Without fusion it is # times", r"naive .* # times as long"),
        ("further, to # GHz in place of #,", r"h200 .* at # GHz[\s\S]*clock +# GHz"),
        ("memory is busy for # % of the time", r"decode: bound by hbm, busy #%"),
    ],
    "02_passes_and_cascades": [
        ("where FuseMax's #x comes from", r"\+Binding +# times as fast as FLAT"),
        ("runs attention # times faster than FLAT", r"\+Binding +# times as fast as FLAT"),
        ("# words for heads of sixty-four", r"attention-1pass: # words at 1K keys"),
        ("at six lengths, # points", r"# points in 4 configurations"),
        ("Ours is #, and it agrees", r"\+Binding +# times as fast as FLAT"),
        ("FLAT's hardware slower, #,", r"\+Cascade +# times as fast as FLAT"),
        ("The architecture brings #.", r"\+Architecture +# times as fast as FLAT"),
        ("Only the binding of both brings #.", r"\+Binding +# times as fast as FLAT"),
        ("the gain rises from # to #", r"BERT +(?:\S+ +){3}# +\S+ +#\n"),
        ("all multipliers, is busy for # % of the time", r"FLAT +pe2d +#%"),
        ("On FuseMax it is busy for # %", r"\+Binding +pe2d +#%"),
        ("the gain of the layer is smaller: #,", r"encoder layer: speedup over FLAT +attnsim +#"),
        ("which the paper rounds to # ", r"encoder layer: speedup over FLAT .* paper +#"),
    ],
    "03_neighborhood_attention": [
        ("By FLOPs the operation should be # times faster", r"by FLOPs +# times faster"),
        ("It is # times faster. Counting", r"by the engine +# times faster"),
        ("allows no more than #, which", r"by tiles +# times faster"),
        ("Of the pairs computed, # % were attended", r"stride 1: .* #% of their pairs attended"),
        ("and now # % are", r"stride 2: .* #% of their pairs attended"),
        ("the same in every row: # times fewer", r"16x8x8 +FLOPs #x"),
        ("a visited tile takes # times as long", r"a masked tile takes # times as long"),
        ("16x8x8 of the paper, # times faster than dense", r"16x8x8 .* time +#x"),
        ("so # times fewer FLOPs give only # times less time", r"10x24x24: # times fewer FLOPs .* best +#x"),
        ("Attention is # % of HunyuanVideo's time", r"attention is #% of the time"),
        ("makes the model no more than # times faster", r"operation for nothing +model # times faster"),
        ("and ours, # times faster, gives", r"16x8x8 .* time +#x"),
        ("times faster, gives #.", r"stride 16x8x8 +model # times faster"),
        ("The paper measured # as well", r"stride 16x8x8 +predicted \S+ measured #"),
        ("as well, and # for stride 1", r"stride 1x1x1 +predicted \S+ measured #"),
        ("where we predict #.", r"stride 1x1x1 +model # times faster"),
        ("Tables 2 to 6 hold # different", r"measured +# rows"),
        ("Our mean error is # %", r"measured +\d+ rows, mean error +#%"),
        ("no masking cost, is # % off", r"measured, NATTENSim +\d+ rows, mean error +#%"),
        ("there we are # % off", r"measured, Cosmos \(out of sample\) +\d+ rows, mean error +#%"),
        ("the count of tiles # %", r"measured, Cosmos, NATTENSim +\d+ rows, mean error +#%"),
    ],
    "04_what_a_token_costs": [
        ("million tokens of Step-3 cost # USD", r"step3 .* 8K: # USD"),
        ("of DeepSeek-V3 #, of Qwen3-235B #,", r"deepseek-v3 .* 8K: # USD[\s\S]*qwen3-235b .* 8K: # USD"),
        ("At 32K they cost #, # and #.", r"step3 .* 32K: # USD[\s\S]*deepseek-v3 .* 32K: # USD[\s\S]*qwen3-235b .* 32K: # USD"),
        ("Step-3's attention (MFA) does # FLOPs", r"step3 +core +# FLOP/B"),
        ("DeepSeek-V3's (MLA) #,", r"deepseek-v3 +core +# FLOP/B"),
        ("Qwen3's (GQA) #.", r"qwen3-235b +core +# FLOP/B"),
        ("FLOPs for a dollar: # USD on the H800", r"deepseek-v3 on h800: # USD"),
        ("at least # on any other", r"deepseek-v3 on ascend_910b: # USD"),
        ("#, # and # USD on H20, A800 and 910B", r"step3 on h20: # USD\nstep3 on a800: # USD\nstep3 on ascend_910b: # USD"),
        ("grows, from # % at 8K to # % at 32K for Step-3", r"step3, 8K: attention is #% [\s\S]*step3, 32K: attention is #% "),
        ("for Step-3, and to # % for DeepSeek-V3", r"deepseek-v3, 32K: attention is #% "),
        ("Step-3 # times, DeepSeek-V3 # times", r"step3 +ideal .* # times as much[\s\S]*deepseek-v3 +ideal .* # times as much"),
        ("at 8K four H100 cost # times as much", r"context +8192: four H100 cost # times"),
        ("A factor of #, and no kernel", r"\n# times as much\n"),
    ],
    "05_predicted_against_measured": [
        ("error of the fitted rows is # %", r"fitted +\d+ rows: mean error +#%"),
        ("of the held-out rows # %", r"held out +\d+ rows: mean error +#%"),
        ("attnsim is # % off", r"attnsim +\d+ rows, mean error +#%"),
        ("the plain roofline # %", r"roofline +\d+ rows, mean error +#%"),
        ("with two constants # %", r"roofline/efficiency \+ overhead +\d+ rows, mean error +#%"),
        ("physics allows in # rows", r"GenZ \S+ +\d+ rows, mean error +\S+%, faster than possible in # rows"),
        ("held-out error on an H100 is # %", r"cudnn-h100-forward +\d+ rows held out, mean error +#%"),
        ("FlashAttention-3 is # % off there", r"h100-short +fa3 +\d+ rows held out, mean error +#%"),
        ("and # % on the long rows", r"fa3-h100-forward +\d+ rows held out, mean error +#%"),
    ],
}

# Output against the papers' tables: pattern, published value, how far it may be off.
PUBLISHED: dict[str, list[tuple[str, float, float]]] = {
    "01_first_run": [],
    "02_passes_and_cascades": [  # arXiv 2406.10491, section VI, from the authors' artifact
        (r"\+Binding +# times as fast as FLAT", 6.7226, 0.001),
        (r"\+Cascade +# times as fast as FLAT", 0.907, 0.001),
        (r"\+Architecture +# times as fast as FLAT", 2.1828, 0.001),
        (r"encoder layer: speedup over FLAT +attnsim +#", 5.3017, 0.001),
    ],
    "03_neighborhood_attention": [  # arXiv 2504.16922, Figure 3 (3.3, printed with one decimal) and Table 4
        (r"by tiles +# times faster", 3.3, 0.05),
        (r"stride 16x8x8 +model # times faster", 1.63, 0.02),
        (r"stride 1x1x1 +model # times faster", 1.42, 0.02),
    ],
    "04_what_a_token_costs": [  # arXiv 2507.19427, Observation 1, and Table 8 in USD at 2 USD an hour
        (r"step3 .* 8K: # USD", 0.055, 0.0005),
        (r"deepseek-v3 .* 8K: # USD", 0.068, 0.0005),
        (r"qwen3-235b .* 8K: # USD", 0.062, 0.0005),
        (r"step3 .* 32K: # USD", 0.129, 0.0005),
        (r"deepseek-v3 .* 32K: # USD", 0.211, 0.0005),
        (r"qwen3-235b .* 32K: # USD", 0.193, 0.0005),
        (r"step3 +ideal \S+ deployed # USD", 1e6 * 2 / 3600 / 4039, 0.001),
    ],
    "05_predicted_against_measured": [],
}

# Numbers of the text that name a thing or an input, and claim nothing.
NAMES_WITH_DIGITS = re.compile(
    r"""`[^`]*`                                                                 # code
    | arXiv\ \d{4}\.\d{5} | (?:MICRO|CACM)\ \d{4}                               # sources
    | (?:[Ss]ections?|Tables?|Figures?|Observation|appendix)\ [A-Z]?\.?\d+(?:\.\d+)*(?:\ to\ \d+)?
    | FlashAttention-\d | Llama-3\ (?:8|70)B | Step-3 | DeepSeek-V3 | Qwen3(?:-235B)? | \bT5\b
    | \b[AHBL]\d{2,3}\b | \bA800\b | \bH800\b | \b910B\b | \b128\ GPUs
    | \b\d+(?:x\d+)+\b | \b\d+[KM]\b | \b\d-pass\b | \b720p\b | stride\ (?:of\ )?1\b | more\ than\ a
    """,
    re.VERBOSE,
)


def read(name: str) -> Any:
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def cells(name: str, kind: str) -> Iterator[Any]:
    return (cell for cell in read(name).cells if cell.cell_type == kind)


def prose(name: str) -> str:
    """All text, as one line; bold and italic are plain."""
    text = "\n".join(cell.source for cell in cells(name, "markdown"))
    return " ".join(re.sub(r"(?<!\w)\*+(?=\S)|(?<=\S)\*+(?!\w)", "", text).split())


def shown_as(text: str) -> re.Pattern[str]:
    """A regular expression of the output."""
    return re.compile(text.replace("#", NUMBER))


def said_as(text: str) -> re.Pattern[str]:
    """A piece of the text."""
    return re.compile(NUMBER.join(re.escape(part) for part in text.split("#")))


@pytest.mark.parametrize("name", NAMES)
def test_the_file_holds_source_only(name: str) -> None:
    notebook = read(name)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    for cell in notebook.cells:
        assert cell.metadata == {}, f"{cell.id} carries {dict(cell.metadata)}"
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None, f"{cell.id} has outputs: strip them"


@pytest.mark.parametrize("name", NAMES)
def test_cells_are_short_and_draw_with_attnsim_alone(name: str) -> None:
    for cell in cells(name, "code"):
        assert len(cell.source.splitlines()) <= MOST_LINES, f"{cell.id} is too long"
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
                private = [alias.name for alias in node.names if alias.name.startswith("_")]
                assert not private, f"{cell.id} imports {private}"
            elif isinstance(node, ast.Attribute):
                assert not re.match(r"_(?!_name__)", node.attr), f"{cell.id} uses {node.attr}"
                continue
            else:
                continue
            assert {module.partition(".")[0] for module in modules} <= IMPORTS, f"{cell.id} imports {modules}"


@pytest.mark.parametrize("name", NAMES)
def test_the_text_tells_a_story_and_every_number_of_it_is_claimed(name: str) -> None:
    text = prose(name)
    assert text.startswith("# ") and "The question." in text and "## What to remember" in text and "An exercise." in text
    assert name == "05_predicted_against_measured" or "arXiv" in text
    left = list(text)
    for said, _ in CLAIMS[name]:
        found = said_as(said).search(text)
        assert found, f"the text no longer says {said!r}"
        for group in range(1, len(found.groups()) + 1):
            left[found.start(group) : found.end(group)] = "." * len(found[group])
    rest = NAMES_WITH_DIGITS.sub(" ", "".join(left))
    assert not re.search(r"\d", rest), [rest[max(0, hit.start() - 30) : hit.end() + 20] for hit in re.finditer(r"\d+", rest)]


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_and_prints_what_the_text_and_the_papers_say(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    notebook = read(name)
    path = os.pathsep.join(filter(None, (str(ROOT / "simulator"), os.environ.get("PYTHONPATH"))))
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(ROOT / "notebooks")}})
    client.execute(env={**os.environ, "PYTHONPATH": path})
    printed, pictures = "", 0
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            assert output.get("name") != "stderr", f"{cell.id} wrote to stderr: {output.text}"
            data = output.get("data", {})
            pictures += "image/svg+xml" in data
            # A figure also has a text, which names its class and nothing else.
            printed += output.get("text", "" if "image/svg+xml" in data else data.get("text/plain", "") + "\n")
    assert pictures >= 3, "a notebook shows what it tells"
    text = prose(name)
    for said, shown in CLAIMS[name]:
        numbers = said_as(said).search(text)
        found = shown_as(shown).search("\n" + printed)
        assert numbers and found, f"no cell prints {shown!r}"
        told, computed = numbers.groups(), [float(value) for value in found.groups()]
        assert len(told) == len(computed), (said, shown)
        for number, value in zip(told, computed, strict=True):
            digits = len(number.partition(".")[2])
            assert abs(float(number) - value) <= 0.5 * 10**-digits + 1e-9, f"the text says {number} ({said!r}), the cells {value}"
    for shown, value, off in PUBLISHED[name]:
        found = shown_as(shown).search("\n" + printed)
        assert found and abs(float(found[1]) - value) <= off, f"{shown!r} gives {found and found[1]}, published {value}"


NEEDS_MORE = ("measure", "calibrate", "mine.csv")  # PyTorch, or a file of the reader's own


@pytest.mark.parametrize("name", NAMES)
def test_calls_and_commands_in_the_text_work(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(attnsim.validate, "run_cases", lambda names, **_: run_cases(names or ["fa2-a100-forward"]))
    text = "\n".join(cell.source for cell in cells(name, "markdown"))
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]
    calls = [span for span in spans if span.startswith("attnsim.") and span.endswith(")")]
    commands = [span for span in spans if span.startswith("attnsim ") and not any(word in span for word in NEEDS_MORE)]
    assert commands
    for call in calls:
        (node,) = (found for found in ast.walk(ast.parse(call)) if isinstance(found, ast.Call))
        assert isinstance(node.func, ast.Attribute)
        values = {str(given.arg): ast.literal_eval(given.value) for given in node.keywords}
        assert repr(getattr(attnsim, node.func.attr)(*map(ast.literal_eval, node.args), **values)), call
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0, command


def test_every_notebook_is_listed() -> None:
    assert len(NOTEBOOKS) == 5 and list(CLAIMS) == list(PUBLISHED) == NAMES
