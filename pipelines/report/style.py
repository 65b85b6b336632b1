"""How a report looks: one style sheet, light and dark, phone and desk."""

from typing import Final

__all__ = ["STYLE"]

# Colours after Okabe and Ito (2008), told apart with every common colour blindness; the dark
# theme takes their lighter ones.
STYLE: Final = """
:root{--page:#fff;--ink:#1b1f24;--soft:#59636e;--rule:#d8dee4;--panel:#f6f8fa;
--blue:#0072b2;--orange:#d55e00;--green:#00795a;--amber:#c98500;--track:#e7ebef;
--warn:#fff4d6;--warnrule:#c98500;color-scheme:light dark}
@media (prefers-color-scheme:dark){:root{--page:#0e1116;--ink:#e6e9ed;--soft:#9aa5b1;
--rule:#2d343c;--panel:#171c22;--blue:#56b4e9;--orange:#f0854a;--green:#2fc29a;--amber:#e6b045;
--track:#262d35;--warn:#2c2410;--warnrule:#e6b045}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:20px 16px 60px}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 2px;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:38px 0 6px;padding-top:14px;border-top:1px solid var(--rule)}
h3{font-size:.95rem;margin:18px 0 6px}
p{margin:4px 0 10px}
.soft,.card p,figcaption{color:var(--soft);font-size:.86rem}
code{font-family:ui-monospace,SFMono-Regular,Menlo,monospace;font-size:.9em;
overflow-wrap:anywhere}
nav{display:flex;flex-wrap:wrap;gap:4px 16px;margin:10px 0 14px;font-size:.9rem}
a{color:var(--blue)}
.warn{background:var(--warn);border-left:4px solid var(--warnrule);padding:8px 12px;
margin:12px 0;overflow-wrap:anywhere}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:10px;
margin:14px 0}
.card{background:var(--panel);border:1px solid var(--rule);border-radius:8px;padding:9px 12px}
.card dt{color:var(--soft);font-size:.82rem}
.card dd{margin:0;font-size:1.35rem;font-weight:600;font-variant-numeric:tabular-nums;
overflow-wrap:anywhere}
.card p{margin:0}
.scroll{overflow-x:auto;margin:6px 0 12px}
table{border-collapse:collapse;font-size:.88rem;min-width:min(100%,420px)}
th,td{padding:4px 12px 4px 0;border-bottom:1px solid var(--rule);vertical-align:top}
th{color:var(--soft);font-weight:600;white-space:nowrap}
.word{text-align:left;overflow-wrap:break-word;min-width:70px;max-width:420px}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.bars{max-width:680px;margin:6px 0 14px}
.bar{display:grid;grid-template-columns:minmax(90px,170px) 1fr 64px;gap:10px;align-items:center;
font-size:.88rem;padding:2px 0}
.bar .name{overflow-wrap:anywhere;line-height:1.25}
.bar .count{text-align:right;font-variant-numeric:tabular-nums}
.track{display:block;background:var(--track);border-radius:3px;height:12px}
.fill{display:block;height:12px;border-radius:3px;background:var(--blue)}
.fill.good{background:var(--green)}.fill.lost{background:var(--orange)}
.fill.held{background:var(--amber)}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:0 36px}
.chart{display:block;width:100%;max-width:440px;height:auto;margin:8px 0}
.chart text{fill:var(--soft);font-size:11px}
.chart .rule{stroke:var(--rule)}.chart .zero{stroke:var(--soft)}
.point circle{fill:var(--blue);fill-opacity:.75}
.examples{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,480px),1fr));gap:14px}
.example{border:1px solid var(--rule);border-radius:8px;padding:12px;min-width:0;
background:var(--panel)}
.example h3{margin:0;font-size:1rem;overflow-wrap:anywhere}
.example p{margin:2px 0 6px;overflow-wrap:anywhere}
.tag{display:inline-block;border:1px solid var(--rule);border-radius:9px;padding:0 8px;
margin:0 6px 2px 0;font-size:.8rem;background:var(--page)}
.strip{display:grid;grid-template-columns:repeat(5,1fr);gap:4px;margin:8px 0}
.strip figure{margin:0;min-width:0}
.strip img{display:block;width:100%;border-radius:3px}
.strip figcaption{font-size:.75rem;text-align:center}
.channels{display:grid;grid-template-columns:1fr 1fr;gap:6px 14px;margin:6px 0;
align-items:end}
.channel{min-width:0;font-size:.75rem;color:var(--soft);line-height:1.3}
.channel b{color:var(--ink);font-weight:600}
.spark{display:block;width:100%;height:34px;border-bottom:1px solid var(--rule)}
.spark polyline{fill:none;stroke:var(--blue);stroke-width:1.2;vector-effect:non-scaling-stroke}
.spark polyline.gyro{stroke:var(--orange)}
summary{cursor:pointer;margin:8px 0}
footer{margin-top:40px;color:var(--soft);font-size:.85rem;overflow-wrap:anywhere}
@media (max-width:480px){.bar{grid-template-columns:116px 1fr 48px}
.word{min-width:104px;max-width:170px}
.cards{grid-template-columns:1fr 1fr}.card dd{font-size:1.15rem}}
""".strip()
