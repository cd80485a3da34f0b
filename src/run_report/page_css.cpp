#include <fmt/format.h>

#include <string>

#include "run_report/chart.h"
#include "run_report/page_parts.h"

namespace virgil {

namespace {

constexpr const char* kLightPage =
    ":root{--ink:#1b1f24;--dim:#59636e;--page:#f4f6f8;--paper:#ffffff;--edge:#d8dee4;--soft:#eef1f4;--link:#0b66c3;--good:#00866a}";
constexpr const char* kDarkPage =
    ":root{--ink:#e8e6e3;--dim:#a3a9b0;--page:#0d1117;--paper:#161b22;--edge:#30363d;--soft:#1f262e;--link:#5aa9ff;--good:#2ec4a0}";

constexpr const char* kLayout = R"css(
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI","DejaVu Sans",Helvetica,Arial,sans-serif}
main{max-width:1180px;margin:0 auto;padding:24px 20px 48px}
h1{font-size:28px;line-height:1.2;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:18px;margin:32px 0 12px}
h3{font-size:15px;margin:18px 0 8px;overflow-wrap:anywhere}
.lead{color:var(--dim);margin:0 0 20px;overflow-wrap:anywhere}
.card{background:var(--paper);border:1px solid var(--edge);border-radius:10px;padding:12px;overflow-x:auto}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(225px,1fr));gap:12px}
.tile{background:var(--paper);border:1px solid var(--edge);border-radius:10px;padding:12px 16px}
.tile span{display:block;color:var(--dim);font-size:13px}
.tile b{display:block;font-size:25px;line-height:1.3;font-weight:650;font-variant-numeric:tabular-nums}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:14px;margin-top:14px}
svg.chart{display:block;width:100%;height:auto}
.narrow{display:none}
table{border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums;min-width:100%}
th,td{text-align:left;padding:6px 14px 6px 0;border-bottom:1px solid var(--edge);vertical-align:top}
th{color:var(--dim);font-weight:500}
tr:last-child td{border-bottom:0}
th:last-child,td:last-child{padding-right:0}
td.n,th.n{text-align:right;white-space:nowrap}
td.name{overflow-wrap:anywhere;min-width:10em;font-weight:550}
td small{display:block;color:var(--dim);white-space:normal;font-weight:400}
td.best{color:var(--good);font-weight:650}
code{font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;font-size:13px;overflow-wrap:anywhere}
.swatch{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:8px}
.swatch svg{display:block}
.note{border-left:4px solid #d55e00;padding:8px 14px;background:var(--paper);border-radius:0 8px 8px 0;margin:16px 0}
.note ul{margin:4px 0;padding-left:20px}
.samples{border-left:2px solid var(--edge);margin-left:6px;padding-left:20px}
.sample{position:relative;margin:0 0 16px}
.sample::before{content:"";position:absolute;left:-27px;top:7px;width:10px;height:10px;border-radius:50%;background:var(--link);border:2px solid var(--page)}
.sample div{color:var(--dim);font-size:13px;margin-bottom:4px}
.sample div b{color:var(--ink)}
pre{margin:0;padding:10px 14px;background:var(--paper);border:1px solid var(--edge);border-radius:8px;white-space:pre-wrap;overflow-wrap:anywhere;max-height:26em;overflow-y:auto;font:13px/1.5 ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace}
summary{cursor:pointer;color:var(--link);margin:12px 0}
footer{margin-top:40px;color:var(--dim);font-size:13px}
.tip{position:absolute;z-index:9;pointer-events:none;background:var(--paper);border:1px solid var(--edge);border-radius:8px;box-shadow:0 4px 16px #0003;padding:6px 10px;font-size:13px;max-width:340px}
.tip[hidden]{display:none}
.tip .place{color:var(--dim)}
.tip i{display:inline-block;width:12px;height:3px;border-radius:2px;margin-right:6px;vertical-align:middle}
@media screen and (max-width:700px){.wide{display:none}.narrow{display:block}main{padding:16px 12px 32px}h1{font-size:23px}.tiles{grid-template-columns:1fr 1fr;gap:8px}.tile{padding:10px 12px}.tile b{font-size:20px}}
)css";

constexpr const char* kPrint =
    "body{background:none;font-size:11pt}main{max-width:none;padding:0}.card,.tile,pre{border-color:#bbb;break-inside:avoid}"
    ".sample{break-inside:avoid-page}pre{max-height:none}.tip{display:none}h2{break-after:avoid}"
    ".plots{grid-template-columns:1fr 1fr}"
    ".card{overflow:visible}table{font-size:7.5pt}th,td{padding:3px 7px 3px 0}td.name{min-width:0}th.n{white-space:normal}"
    "*{print-color-adjust:exact;-webkit-print-color-adjust:exact}";

}  // namespace

std::string page_css() {
  return fmt::format("{}{}{}@media screen and (prefers-color-scheme:dark){{{}{}:root{{color-scheme:dark}}}}@media print{{{}}}",
                     kLightPage, chart_css(Scheme::kLight), kLayout, kDarkPage, chart_css(Scheme::kDark), kPrint);
}

}  // namespace virgil
