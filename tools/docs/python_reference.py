"""The page of the Python interface, made from signatures and docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

#: Title, a sentence, and what is described: module and names.
SECTIONS: tuple[tuple[str, str, tuple[tuple[str, tuple[str, ...]], ...]], ...] = (
    ("Questions", "What `import attnsim` gives. Importing it loads nothing else until a name is used.",
     (("attnsim", ("run", "sweep", "pareto", "compare", "tune", "recommend")),)),
    ("Answers", "What they return. All numbers are SI base units; `repr` is the text of the command line, `to_dict()` its JSON.",
     (("attnsim", ("Report",)),
      ("attnsim.evaluate.estimate", ("Answer", "KernelAnswer", "Estimate", "KernelEstimate")),
      ("attnsim.evaluate.spatial.estimate", ("SpatialEstimate",)),
      ("attnsim.evaluate.layer", ("LayerEstimate",)),
      ("attnsim.serving.answer", ("ModelEstimate",)),
      ("attnsim.explore.compare", ("Comparison",)),
      ("attnsim.explore.front", ("Front",)),
      ("attnsim.explore.tune.answer", ("Tuning",)),
      ("attnsim.evaluate.recommend.answer", ("Recommendations",)))),
    ("Machines, links and prices", "What arch files resolve to.",
     (("attnsim.machine", ("load_machine", "fabric_of", "Machine", "Link", "Fabric")),
      ("attnsim.machine.spatial", ("SpatialMachine",)),
      ("attnsim.machine.prices", ("load_prices",)))),
    ("Collectives", "Time of communication, by the alpha-beta model.",
     (("attnsim.evaluate.collectives", ("all_reduce", "all_gather", "reduce_scatter", "broadcast", "all_to_all", "moe_dispatch",
                                        "moe_combine", "send", "many_to_many")),)),
    ("Matrix products and streaming kernels", "The other kernels of a model, one at a time; answers are kept.",
     (("attnsim.evaluate.linear", ("product_latency", "grouped_latency", "kernel_latency")),)),
    ("Algorithms and masks", "The mathematics alone, without hardware: counts accept ints, NumPy arrays and SymPy symbols.",
     (("attnsim.cascade.cascade", ("load_cascade", "Cascade")), ("attnsim.mask", ("from_spec",)), ("attnsim.mask.base", ("Mask",)))),
    ("Figures and tables", "What the command line draws, for notebooks: data first, then a matplotlib figure of it.",
     (("attnsim.report.roofline", ("charts", "rows")), ("attnsim.report.figure", ("draw",)),
      ("attnsim.report.cost", ("cost_table",)), ("attnsim.report.costfigure", ("draw",)),
      ("attnsim.report.explain", ("explanation", "explanation_text")))),
    ("Errors", "What users can cause; each is an exit code of the command line.",
     (("attnsim.errors", ("AttnsimError", "UsageError", "SpecError", "InfeasibleError", "MissingDataError")),)),
)  # fmt: skip
_HEAD = re.compile(r"^(Returns|Raises|Yields):\s*(.*)$")


def objects() -> list[tuple[str, str, Any]]:
    """Module, name and object of everything the page describes."""
    return [(module, name, getattr(import_module(module), name)) for _, _, found in SECTIONS for module, names in found for name in names]


def signature(name: str, thing: Callable[..., Any]) -> str:
    """A call as one would write it, a parameter a line where it is long."""
    try:
        found = inspect.signature(thing)
    except ValueError:
        return name
    parameters = [str(parameter).replace("'", "") for parameter in found.parameters.values()]
    kinds = [parameter.kind for parameter in found.parameters.values()]
    if inspect.Parameter.KEYWORD_ONLY in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        parameters.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    parameters = [text for text in parameters if text != "self" and not text.startswith("self:")]
    returns = (
        "" if found.return_annotation in (inspect.Signature.empty, None, "None") else f" -> {found.return_annotation}".replace("'", "")
    )
    line = f"{name}({', '.join(parameters)}){returns}"
    return line if len(line) <= 100 else f"{name}(\n" + "".join(f"    {text},\n" for text in parameters) + f"){returns}"


def prose(text: str) -> str:
    """A docstring as Markdown."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        joined = " ".join(paragraph.split())
        found = _HEAD.match(joined)
        joined = f"**{found[1]}** {found[2]}" if found else joined
        joined = joined.replace("``", "`")
        paragraphs.append(re.sub(r"(?<![`\w*])\*\*?(?=\w+[^*]*$)", lambda star: "\\" + star[0], joined) if "`" not in joined else joined)
    return "\n\n".join(paragraphs)


def members(thing: type) -> list[str]:
    """One line a public method or property."""
    lines = []
    for name, member in vars(thing).items():
        if name.startswith("_"):
            continue
        function = (
            member.fget if isinstance(member, property) else member.__func__ if isinstance(member, classmethod | staticmethod) else member
        )
        if inspect.isfunction(function) and function.__doc__:
            call = name if isinstance(member, property) else signature(name, function).replace("\n", " ").replace("    ", "")
            lines.append(f"- `{call}`: {prose(function.__doc__).splitlines()[0]}")
    return lines


def described(module: str, name: str, thing: Any) -> str:
    """One entry."""
    label = f"{module}.{name}"
    doc = prose(inspect.getdoc(thing) or "")
    if not doc:
        raise KeyError(f"{label} has no docstring")
    if inspect.isclass(thing):
        own = [f"`{field}`" for field in getattr(thing, "__annotations__", {}) if not field.startswith("_")]
        fields = f"\n\nFields: {', '.join(own)}." if own and not issubclass(thing, Exception) else ""
        bases = [base.__name__ for base in thing.__bases__ if base is not object and base.__module__.startswith("attnsim")]
        above = f" (a `{', '.join(bases)}`)" if bases else ""
        listed = "\n".join(members(thing))
        return f"### {label}{above} {{ #{label} }}\n\n{doc}{fields}" + (f"\n\n{listed}" if listed else "")
    return f"### {label} {{ #{label} }}\n\n```text\n{signature(name, thing)}\n```\n\n{doc}"


def page() -> str:
    """The whole page."""
    parts = ["# Python", "A workload, machine or schedule (`Ref` below) is a library name, a path or a dict, wherever one is asked for."]
    for title, sentence, found in SECTIONS:
        parts += [f"## {title}", sentence]
        parts += [described(module, name, getattr(import_module(module), name)) for module, names in found for name in names]
    return "\n\n".join(parts) + "\n"
