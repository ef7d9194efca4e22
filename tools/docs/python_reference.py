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
      ("attnsim.explore.compare.compare", ("Comparison",)),
      ("attnsim.explore.pareto.front", ("Front",)),
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
     (("attnsim.report.roofline.charts", ("charts", "rows")), ("attnsim.report.roofline.figure", ("draw",)),
      ("attnsim.report.cost", ("cost_table",)), ("attnsim.report.costfigure", ("draw",)),
      ("attnsim.report.explain", ("explanation", "explanation_text")))),
    ("Errors", "What users can cause; each is an exit code of the command line.",
     (("attnsim.errors", ("AttnsimError", "UsageError", "SpecError", "InfeasibleError", "MissingDataError")),)),
)  # fmt: skip
_HEAD = re.compile(r"^(Returns|Raises|Yields):\s*(.*)$")


def objects() -> list[tuple[str, str, Any]]:
    """Module, name and object of everything the page describes."""
    return [(module, name, getattr(import_module(module), name)) for _, _, found in SECTIONS for module, names in found for name in names]


def _annotation(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    typed = "" if parameter.annotation is parameter.empty else f": {_annotation(parameter.annotation)}"
    return f"{stars}{parameter.name}{typed}" + ("" if parameter.default is parameter.empty else f" = {parameter.default!r}")


def signature(name: str, thing: Callable[..., Any]) -> str:
    """A call as one would write it, a parameter a line where it is long."""
    found = inspect.signature(thing)
    parameters = [parameter for parameter in found.parameters.values() if parameter.name not in ("self", "cls")]
    texts, kinds = [_parameter(parameter) for parameter in parameters], [parameter.kind for parameter in parameters]
    if inspect.Parameter.KEYWORD_ONLY in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        texts.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    returned = found.return_annotation
    returns = "" if returned in (inspect.Signature.empty, None, "None") else f" -> {_annotation(returned)}"
    line = f"{name}({', '.join(texts)}){returns}"
    return line if len(line) <= 100 else f"{name}(\n" + "".join(f"    {text},\n" for text in texts) + f"){returns}"


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
    """One entry; entries of one name are told apart by their module."""
    label = f"{module}.{name}"
    doc = prose(inspect.getdoc(thing) or "")
    if not doc:
        raise KeyError(f"{label} has no docstring")
    twice = sum(name == other for _, other, _ in objects()) > 1
    title = label if module == "attnsim" else f"{module.rpartition('.')[2]}.{name}" if twice else name
    parts = [f"### {title} {{ #{label} }}", f"```python\nfrom {module} import {name}\n```"]
    if not inspect.isclass(thing):
        parts[1] = f"```python\nfrom {module} import {name}\n\n{signature(name, thing)}\n```"
        return "\n\n".join([*parts, doc])
    bases = [base.__name__ for base in thing.__bases__ if base is not object and base.__module__.startswith("attnsim")]
    own = [f"`{field}`" for field in getattr(thing, "__annotations__", {}) if not field.startswith("_")]
    parts.append(doc)
    if bases:
        parts.append(f"Has all of `{', '.join(bases)}`.")
    if own and not issubclass(thing, Exception):
        parts.append(f"Fields: {', '.join(own)}.")
    return "\n\n".join([*parts, *filter(None, ["\n".join(members(thing))])])


def page() -> str:
    """The whole page."""
    parts = ["# Python", "A workload, machine or schedule (`Ref` below) is a library name, a path or a dict, wherever one is asked for."]
    for title, sentence, found in SECTIONS:
        parts += [f"## {title}", sentence]
        parts += [described(module, name, getattr(import_module(module), name)) for module, names in found for name in names]
    return "\n\n".join(parts) + "\n"
