"""The style sheet of the report page: light and dark, screen and paper."""

from __future__ import annotations

LIGHT = {
    "page": "#ffffff",
    "ink": "#1b1f24",
    "dim": "#4b5563",
    "rule": "#c9ced6",
    "soft": "#f3f5f8",
    "link": "#0b5394",
    "good": "#0b6b3a",
    "fair": "#7a4b00",
    "bad": "#a1170f",
}
"""Colors on paper and on a light screen."""

DARK = {
    "page": "#14171b",
    "ink": "#e8eaed",
    "dim": "#b3bac4",
    "rule": "#434a54",
    "soft": "#1e232a",
    "link": "#8ec5ff",
    "good": "#7fd6a2",
    "fair": "#f0c36b",
    "bad": "#ff9b92",
}
"""Colors on a dark screen."""

SERIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999", "#dfe3e8")
"""Okabe and Ito's palette, then a neutral."""

DARK_NEUTRAL = "#8b939e"
"""The neutral on a dark screen."""

ON = ("#ffffff", "#000000", "#000000", "#000000", "#000000", "#000000", "#000000", "#000000", "#000000")
"""Ink on each of them."""


def _variables(colors: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in colors.items())


def _series() -> str:
    fills = "".join(f".b{i}{{fill:{c}}}" for i, c in enumerate(SERIES))
    strokes = "".join(
        f".s{i}{{stroke:{c}}}.dot.s{i}{{fill:{c}}}.k{i}{{background:{c}}}" for i, c in enumerate(SERIES)
    )
    return fills + strokes


RULES = """
*{box-sizing:border-box}
html{color-scheme:light dark;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
overflow-wrap:anywhere}
header,main,footer,nav{max-width:72rem;margin:0 auto;padding:0 1rem}
header{padding-top:1.5rem}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .3rem}
h2{font-size:1.25rem;margin:2.2rem 0 .6rem;padding-top:.6rem;border-top:1px solid var(--rule)}
h3{font-size:1.05rem;margin:1.2rem 0 .4rem}
p{margin:.5rem 0;max-width:46rem}
.lead{font-size:1.2rem;line-height:1.45;max-width:54rem;border-left:.3rem solid var(--link);padding-left:.9rem}
.dim,figcaption,caption{color:var(--dim)}
a{color:var(--link)}
a:focus-visible,summary:focus-visible,.scroll:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.skip{position:absolute;left:-999rem}
.skip:focus{left:1rem;top:.5rem;background:var(--page);padding:.4rem .8rem}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1rem;list-style:none;padding:0;margin:.8rem 0 0}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;margin:.5rem 0;font-variant-numeric:tabular-nums}
caption{text-align:left;padding:.2rem 0;font-size:.9rem;max-width:calc(100vw - 2.5rem)}
.whole{white-space:nowrap}
th,td{overflow-wrap:break-word;padding:.28rem .7rem .28rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--rule)}
thead th{font-weight:600;color:var(--dim);font-size:.9rem;white-space:nowrap}
tbody th{font-weight:500}
.n{text-align:right;white-space:nowrap}
.w{min-width:16rem}
.c{min-width:7rem;width:30%}
.wide td,.wide th{font-size:.9rem}
tr.first th,tr.first td{background:var(--soft);font-weight:600}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:1rem 2rem}
figure{margin:.6rem 0;max-width:32rem}
.chart{display:block;width:100%;height:auto;font:13px system-ui,sans-serif}
.chart text{fill:var(--ink)}
.chart text.name{fill:var(--dim)}
.grid{stroke:var(--rule);stroke-width:.7}
.axis,.tick{stroke:var(--dim)}
.line{fill:none;stroke-width:2.4}
.mark{fill:#d55e00;stroke:var(--ink);stroke-width:1.5}
.part{stroke:var(--page);stroke-width:1}
.limit{stroke:var(--ink);stroke-width:2;stroke-dasharray:5 3}
.bar{display:block;width:100%;height:.8rem;margin-top:.35rem}
.b9{fill:var(--ink)}
.key{display:inline-block;min-width:1.5em;padding:0 .3em;text-align:center;margin-right:.5em;color:#000}
.k0{color:#fff}
.badge{font-weight:700}
.good{color:var(--good)}.fair{color:var(--fair)}.bad{color:var(--bad)}
details{margin:.4rem 0}
summary{cursor:pointer;color:var(--link)}
pre{background:var(--soft);padding:.8rem;white-space:pre-wrap;font-size:.85rem}
li{margin:.25rem 0;max-width:60rem}
dl{margin:.5rem 0}
dt{font-weight:600}
dd{margin:0 0 .5rem}
footer{padding-top:2rem;padding-bottom:2rem}
"""

PAPER = """
@media print{nav,.skip{display:none}
body{font-size:10pt}
h2{break-after:avoid;margin-top:1.2rem}
figure,tr{break-inside:avoid}
.scroll{overflow:visible}
.wide td,.wide th{font-size:7pt;padding-right:.3rem}
.w{min-width:8rem}
details,section[aria-labelledby=question]{display:none}
.two{grid-template-columns:1fr 1fr;gap:.5rem}
figure{max-width:22rem}
caption,h3{break-after:avoid}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""


def sheet() -> str:
    """The whole style sheet.

    Examples
    --------
    >>> "prefers-color-scheme:dark" in sheet(), "@media print" in sheet()
    (True, True)
    """
    dark = "@media screen and (prefers-color-scheme:dark)"
    root = f":root{{{_variables(LIGHT)}}}{dark}{{:root{{{_variables(DARK)}}}}}"
    return f"{root}{RULES}{_on()}{_series()}{dark}{{.b8{{fill:{DARK_NEUTRAL}}}}}{PAPER}"


def _on() -> str:
    return "".join(f".chart text.on{i}{{fill:{color}}}" for i, color in enumerate(ON))
