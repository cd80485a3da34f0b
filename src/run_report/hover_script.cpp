#include "run_report/hover_script.h"

#include <string_view>

namespace virgil {

std::string_view hover_script() {
  return R"js(
"use strict";
const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
document.body.append(tip);
const show = (value) => {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e12)) return value.toExponential(3);
  const digits = size >= 1000 ? 0 : size === 0 ? 0 : Math.min(6, Math.max(0, 4 - Math.floor(Math.log10(size))));
  return value.toLocaleString("en", {minimumFractionDigits: 0, maximumFractionDigits: digits});
};
for (const chart of document.querySelectorAll("svg.chart[data-plot]")) {
  const [left, right, top, bottom] = chart.dataset.plot.split(" ").map(Number);
  const [xLow, xHigh] = chart.dataset.x.split(" ").map(Number);
  const [yLow, yHigh, scale] = chart.dataset.y.split(" ");
  const low = Number(yLow), high = Number(yHigh);
  const lines = [...chart.querySelectorAll("path[data-name]")].map((path) => ({
    name: path.dataset.name, look: getComputedStyle(path),
    points: path.getAttribute("d").split(/[ML]/).slice(1).map((pair) => pair.split(" ").map(Number)),
  }));
  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "path");
  cursor.setAttribute("class", "axis");
  cursor.setAttribute("stroke-dasharray", "2 3");
  chart.append(cursor);
  const valueAt = (y) => {
    const share = (bottom - y) / (bottom - top);
    return scale === "log" ? low * Math.pow(high / low, share) : low + share * (high - low);
  };
  const nearest = (points, x) => {
    let first = 0, last = points.length - 1;
    while (last - first > 1) {
      const middle = (first + last) >> 1;
      if (points[middle][0] < x) first = middle; else last = middle;
    }
    return x - points[first][0] < points[last][0] - x ? points[first] : points[last];
  };
  const hide = () => { tip.hidden = true; cursor.setAttribute("d", ""); };
  chart.addEventListener("pointerleave", hide);
  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    const x = (event.clientX - box.left) * chart.viewBox.baseVal.width / box.width;
    if (x < left - 4 || x > right + 4 || lines.length === 0) return hide();
    const inside = Math.min(right, Math.max(left, x));
    cursor.setAttribute("d", `M${inside} ${top}V${bottom}`);
    tip.replaceChildren();
    const place = document.createElement("div");
    place.className = "place";
    const at = xLow + (inside - left) / (right - left) * (xHigh - xLow);
    place.textContent = show(xHigh - xLow > 20 ? Math.round(at) : at);
    tip.append(place);
    for (const line of lines) {
      const point = nearest(line.points, inside);
      if (Math.abs(point[0] - inside) > (right - left) / 4) continue;
      const row = document.createElement("div"), key = document.createElement("i"), value = document.createElement("b");
      key.style.background = line.look.stroke;
      key.style.opacity = line.look.strokeOpacity;
      value.textContent = show(valueAt(point[1]));
      row.append(key, line.name + " ", value);
      tip.append(row);
    }
    tip.hidden = false;
    const width = tip.offsetWidth;
    tip.style.left = `${Math.min(event.pageX + 16, window.scrollX + document.documentElement.clientWidth - width - 8)}px`;
    tip.style.top = `${event.pageY + 16}px`;
  });
}
)js";
}

}  // namespace virgil
