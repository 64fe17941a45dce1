/** @file The style sheet of the HTML report, which is written into the page. */
import { colorStyle, plotStyle } from "./svg.ts";

export const pageStyle = `${colorStyle}
${plotStyle}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1180px;margin:0 auto;padding:44px 32px 72px}
header p{margin:0;color:var(--soft);overflow-wrap:anywhere}
h1{margin:2px 0 6px;font-size:30px;line-height:1.2;font-weight:650;letter-spacing:-.015em;overflow-wrap:anywhere}
h2{margin:52px 0 14px;padding-top:14px;border-top:1px solid var(--line);font-size:19px;font-weight:650;letter-spacing:-.005em}
h3{margin:0 0 2px;font-size:15px;font-weight:650}
code,pre{font-family:ui-monospace,"SF Mono",SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.88em;overflow-wrap:anywhere}
pre{margin:0;padding:12px 14px;background:var(--wash);border:1px solid var(--line);border-radius:4px;white-space:pre-wrap}
a{color:inherit}a:has(code){text-decoration:none}a .step{text-decoration:underline;text-decoration-color:var(--faint);text-underline-offset:.25em}a:hover .step{text-decoration-color:currentColor}
.step{display:inline-block}.whole{white-space:nowrap}
.eyebrow{font-size:13px;letter-spacing:.01em}
.lead{max-width:78ch;margin:24px 0 0;font-size:16.5px}
.notes{max-width:88ch;margin:20px 0 0;padding-left:18px;color:var(--soft)}
.notes code,.lead code{color:var(--ink)}
.picks{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,320px),1fr));gap:16px;margin:30px 0 0}
.pick{min-width:0;max-width:560px;padding:18px 20px 16px;border:1px solid var(--line);border-top:3px solid var(--c,var(--accent));border-radius:4px}
.pick>p{margin:0 0 14px;color:var(--soft)}
.pick dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:5px 14px;align-items:baseline;margin:0}
.pick dt{color:var(--soft);font-size:13px}
.pick dd{display:flex;flex-wrap:wrap;justify-content:space-between;align-items:baseline;gap:0 12px;margin:0;font-variant-numeric:tabular-nums}
.pick dd b{font-size:17px;line-height:1.3;font-weight:650;letter-spacing:-.015em}
.pick dd span{color:var(--soft);font-size:13px}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:4px}
table{border-collapse:separate;border-spacing:0;width:100%;font-size:13px;line-height:1.4;font-variant-numeric:tabular-nums}
th,td{padding:6px 8px;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
tbody tr:last-child>*{border-bottom:0}
td.right,th.right{text-align:right;white-space:nowrap}
td.differs{background:color-mix(in srgb,var(--fair) 13%,transparent)}
thead th{background:var(--wash);font-weight:600;white-space:nowrap;vertical-align:top}
thead button{all:unset;cursor:pointer;white-space:nowrap;position:relative}
thead button:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
thead button::after{position:absolute;left:100%;color:var(--accent)}
th[aria-sort=ascending] button::after{content:"\\2191"}
th[aria-sort=descending] button::after{content:"\\2193"}
tbody tr:hover>*{background-color:var(--wash)}
tr:target>*{background:color-mix(in srgb,var(--accent) 16%,transparent)}
.sortable .recipe{position:sticky;left:0;z-index:1;min-width:240px;padding-left:27px}
td.recipe{background:var(--paper)}
td.recipe .dot{position:absolute;left:10px;top:11px}
td.recipe .star{position:absolute;left:8px;top:25px}
.under{display:block;color:var(--soft);font-size:.92em;font-weight:400}
td.recipe .under{color:var(--faint)}
td.mark{white-space:nowrap}.dot{display:inline-block;width:9px;height:9px;margin-right:7px;border-radius:50%;background:var(--c)}
.dim{color:var(--faint)}.good{color:var(--good);font-weight:650}.fair{color:var(--fair);font-weight:650}.bad{color:var(--bad);font-weight:650}.alert{color:var(--fair);font-weight:700}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,480px),1fr));gap:28px 36px}
figure{margin:0 0 28px;min-width:0}
.plots figure{margin:0}
figcaption{margin:0 0 8px;color:var(--soft);font-size:13px;line-height:1.45}
figcaption h3{color:var(--ink)}
.plot{display:block;width:100%;height:auto}
.wide{overflow-x:auto}.wide .plot{min-width:680px}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;margin:0 0 18px;padding:0;list-style:none;font-size:13px;color:var(--soft)}
.controls{display:flex;flex-wrap:wrap;gap:8px 14px;align-items:center;margin:0 0 12px;font-size:13px}.controls[hidden],.taken[hidden]{display:none}
.controls input{font:inherit;color:inherit;background:var(--paper);border:1px solid var(--line);border-radius:4px;padding:4px 8px;width:min(100%,240px)}
.controls button,button.take{font:inherit;color:inherit;background:none;border:1px solid var(--line);border-radius:4px;padding:3px 9px;cursor:pointer}
.controls [aria-pressed=false]{opacity:.4;text-decoration:line-through}.controls output{color:var(--soft);font-variant-numeric:tabular-nums}
button.take{position:absolute;right:6px;top:5px;padding:0 6px;font-size:12px;background:var(--paper);opacity:0}tr:hover button.take,button.take:focus-visible{opacity:1}@media (hover:none){button.take{opacity:.7}}
.taken{margin:14px 0 0}.taken .text{margin:4px 0 10px;padding:9px 12px;background:var(--wash);border:1px solid var(--line);border-radius:4px;white-space:pre-wrap;overflow-wrap:anywhere;font:13px/1.5 ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}.taken p{margin:0;color:var(--soft);font-size:13px}
.copied{position:relative;margin:0 0 18px}.copied pre{padding-right:76px}button.copy{position:absolute;right:7px;top:7px;font:inherit;font-size:12px;color:inherit;background:var(--paper);border:1px solid var(--line);border-radius:4px;padding:3px 9px;cursor:pointer}button.copy[hidden]{display:none}
.brush{cursor:crosshair;touch-action:pan-y}.brush a{cursor:pointer;transition:opacity .15s}.brush a.off{opacity:.1}.brushed{position:fixed;z-index:9;border:1px solid var(--accent);background:color-mix(in srgb,var(--accent) 14%,transparent);pointer-events:none}
.facts{display:grid;grid-template-columns:max-content 1fr;gap:5px 22px;margin:0}
.facts dt{color:var(--soft)}.facts dd{margin:0;overflow-wrap:anywhere}
.list,.notes{overflow-wrap:anywhere}.list{margin:0;padding-left:18px}.list li{margin:3px 0}
details{margin:0 0 12px}summary{cursor:pointer;font-weight:600}
details .scroll{margin:10px 0 22px}
footer{margin-top:56px;padding-top:14px;border-top:1px solid var(--line);color:var(--soft);font-size:13px}
@media (max-width:640px){.sortable .recipe{min-width:0;max-width:168px;padding-left:24px}td.recipe .dot{left:8px}td.recipe .star{left:6px}th,td{padding:6px}.picks{gap:12px}.pick{padding:14px 16px}main{padding:24px 16px 48px}.facts{grid-template-columns:1fr;gap:0}.facts dd{margin-bottom:8px}}
@page{margin:14mm 12mm}
@media print{.controls,.taken,button.take,button.copy{display:none}body{font-size:9.5pt}.lead{font-size:11pt}.pick dd b{font-size:12pt}.pick dd span,.pick dt,figcaption,.legend{font-size:8.5pt}main{max-width:none;padding:0}.scroll,.wide{max-height:none;overflow:visible;border:0}table{font-size:7.4pt}th,td{padding:2.5pt 4pt}.sortable .recipe{position:relative;min-width:0}.plots{grid-template-columns:1fr 1fr;gap:12px}.wide .plot{min-width:0}h2{margin-top:24pt}h2,h3,figcaption{break-after:avoid}figure,.pick,tr{break-inside:avoid}}`;
