"""The site: `make docs` builds it. Nothing is fetched, and every warning is an error."""

from __future__ import annotations

import os
import re
from importlib.resources import files
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from docutils import nodes
from sphinx.addnodes import download_reference, pending_xref

import ddstructs

DOCS = Path(__file__).parent

MATHJAX = files("sphinx-mathjax-offline") / "static" / "mathjax" / "tex-svg.js"
"""MathJax with its glyphs as outlines: browsers load no fonts for a page opened from disk."""

os.environ["JUPYTER_PATH"] = str(DOCS / "jupyter")  # the kernel of the notebooks, whatever is installed elsewhere
os.environ["IPYTHONDIR"] = mkdtemp(prefix="ddstructs-docs-")

project = "ddstructs"
project_copyright = "the ddstructs authors, MIT licence"
version = release = ddstructs.__version__
html_title = "ddstructs"
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
]
default_role = "py:obj"

html_theme = "furo"
html_static_path = ["_static", str(MATHJAX)]
mathjax_path = MATHJAX.name
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
pygments_style = "tango"
pygments_dark_style = "native"

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_output_stderr = "remove"
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_inherit_docstrings = False
autodoc_default_options = {"members": True, "no-value": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = ["Reference"]

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

BLOCK = re.compile(r"^(\S.*?):(?=\n\n {4}\S)", re.MULTILINE)
DISPLAYED = re.compile(r"^( *)\$\$(.+?)\$\$ *$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<![$\\])\$([^$]+?)\$")
BARS = re.compile(r"(`[^`]*`|^ *\.\. math::.*$|^ *>>>.*$)|\|(?=\w+\|)", re.MULTILINE)


def equations(app: Any, kind: str, name: str, thing: object, options: Any, lines: list[str]) -> None:
    """Turn what a docstring writes as Markdown does, equations between dollars and indented code, into Sphinx's own."""

    def displayed(match: re.Match[str]) -> str:
        margin, tex = match[1], " ".join(match[2].split())
        return f"\n{margin}.. math:: {tex}\n"

    text = BLOCK.sub(r"\1::", "\n".join(lines))
    text = DISPLAYED.sub(displayed, text)
    text = INLINE.sub(lambda match: f":math:`{' '.join(match[1].split())}`", text)
    text = BARS.sub(lambda match: match[1] or r"\|", text)  # between bars stands a number of things, not a substitution
    lines[:] = text.split("\n")


INCLUDED = {
    (page.parent / path).resolve(): str(page.relative_to(DOCS).with_suffix(""))
    for page in DOCS.rglob("*.md")
    for path in re.findall(r"^```{include} (\S+)", page.read_text(encoding="utf-8"), re.MULTILINE)
}
"""The page on which a file of the repository is shown."""


def links(app: Any, doctree: nodes.document) -> None:
    """Resolve the links of an included file from where it lies: to the page that shows the target, or to a copy."""
    for link in list(doctree.findall(pending_xref)):
        if link.get("reftype") != "myst" or link.get("refdomain") is not None:
            continue
        target, _, anchor = link["reftarget"].partition("#")
        file = (Path(link.source or "").parent / target).resolve()
        if file in INCLUDED:
            link["refdomain"], link["reftarget"], link["reftargetid"] = "doc", INCLUDED[file], anchor or None
        elif target and file.is_file():
            here = (DOCS / app.env.docname).parent
            link.replace_self(download_reference("", "", *link.children, reftarget=os.path.relpath(file, here)))


def skip(app: Any, kind: str, name: str, thing: object, skipped: bool, options: Any) -> bool | None:
    """Leave out the fields of a named tuple, which its docstring describes."""
    return True if type(thing).__name__ == "_tuplegetter" else None


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", equations, priority=400)  # before napoleon
    app.connect("autodoc-skip-member", skip)
    app.connect("doctree-read", links, priority=400)  # before the files to copy are collected
