/* The interactive chart: any score over sparsity, drawn by uPlot, read by pointer, slider or table. */
(function () {
  "use strict";
  var data, chart, points;
  function by(name) { return document.getElementById("closer-" + name); }
  function css(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

  /* Numbers as the tables show them: the branches of number() and measured() in lthbench/formatting.py. */
  function number(value, unit) {
    if (value === null || value === undefined || Number.isNaN(value)) { return "–"; }
    if (data.percent.includes(unit)) { return fixed(100 * value, 1); }
    if (data.counts.includes(unit)) { return count(value, decimals(value, 0)); }
    var size = Math.abs(value);
    if (size >= 1000 && size < 100000) { return value.toFixed(0).replace(/\B(?=(\d{3})+$)/g, ","); }
    if (size >= 1000) { return figures(value, 3); }
    if (size > 0 && size < 0.01) { return figures(value, 2, true); }
    return value.toFixed(size < 10 ? 3 : 1);
  }
  function measured(mean, spread, unit) {
    var shown = number(mean, unit);
    if (mean === null || spread === null) { return shown; }
    if (data.counts.includes(unit)) {
      var places = decimals(mean, spread);
      return count(mean, places) + " ± " + count(spread, places);
    }
    if (shown.includes("e")) { return shown + " ± " + number(spread, unit); }
    var percent = data.percent.includes(unit), factor = percent ? 100 : 1, fewest = (shown.split(".")[1] || "").length;
    var most = shared(factor * mean, factor * spread, fewest, percent);
    if (most > fewest) { shown = commas((factor * mean).toFixed(most), shown.includes(",")); }
    return shown + " ± " + (factor * spread).toFixed(most);
  }
  /* The decimals with which a spread has two figures; in per cent one decimal will do, unless that looks like zero. */
  function shared(mean, spread, fewest, percent) {
    if (!spread || (percent && Number(spread.toFixed(fewest)))) { return fewest; }
    var most = mean ? 5 - Math.floor(Math.log10(Math.abs(mean))) : 6;
    var found = Math.min(1 - Number(spread.toExponential(1).split("e")[1]), most);
    return Number(spread.toFixed(Math.max(found, 0))) ? Math.max(found, fewest) : fewest;
  }
  function commas(text, wanted) { return wanted ? text.replace(/\B(?=(\d{3})+(\.|$))/g, ",") : text; }
  function signed(value, unit) {
    var text = number(value, unit);
    if (!/[1-9]/.test(text)) { return text.replace("-", ""); }
    return (value > 0 ? "+" : "") + text.replace(/-/g, "−");
  }
  /* Without a minus before a zero. */
  function fixed(value, places) {
    var text = value.toFixed(places);
    return /[1-9]/.test(text) ? text : text.replace("-", "");
  }
  function count(value, places) {
    var power = 0;
    while (power < 4 && Number((Math.abs(value) / Math.pow(1000, power)).toFixed(places)) >= 1000) {
      power += 1;
      places = 1;
    }
    return fixed(value / Math.pow(1000, power), places) + ["", "k", "M", "G", "T"][power];
  }
  function decimals(mean, spread) {
    return Math.abs(mean) < 100 && !(Number.isInteger(mean) && Number.isInteger(spread)) ? 1 : 0;
  }
  /* The numbers of an axis, with as many decimals as the step between them; large ones with k, M, G or T. */
  function ticks(places, step) {
    var largest = Math.max.apply(null, places.map(Math.abs)), power = 0, needed = 0;
    while (largest >= 10000 && power < 4 && largest / Math.pow(1000, power) >= 1000) { power += 1; }
    var unit = Math.pow(1000, power), part = step / unit;
    while (needed < 12 && Math.abs(Number(part.toFixed(needed)) - part) > 1e-6 * part) { needed += 1; }
    return places.map(function (place) {
      var text = fixed(place / unit, needed).replace("-", "−");
      return /[1-9]/.test(text) ? text + ["", "k", "M", "G", "T"][power] : text;
    });
  }
  /* So many figures, as "%g" has them in Python, or with zeros at their end as "%#g". */
  function figures(value, most, zeros) {
    var parts = value.toExponential(most - 1).split("e"), power = Number(parts[1]);
    if (power >= -4 && power < most) {
      var text = value.toFixed(most - 1 - power);
      return zeros ? text : String(Number(text));
    }
    return (zeros ? parts[0] : Number(parts[0])) + "e" + (power < 0 ? "-" : "+") + String(Math.abs(power)).padStart(2, "0");
  }

  function score() { return data.scores[by("score").value]; }
  function relative() { return by("difference").checked && score().dense[0] !== null; }
  function shown(place) { return by("methods").querySelectorAll("input")[place].checked; }
  function difference(place, level) {
    var mean = score().mean[place][level], dense = score().dense[0];
    return mean === null || dense === null ? null : mean - dense;
  }
  /* The same as the verdict has it: a share of dense where the margin is one. */
  function compared(place, level) {
    var gap = difference(place, level), share = gap === null || !score().relative ? null : gap / score().dense[0];
    return share === null ? signed(gap, score().unit) : signed(share, data.percent[0]) + " %";
  }
  function header() { return score().title + (score().shown ? ", " + score().shown : ""); }

  /* Columns for uPlot: the places on the axis, then dense with its margin, and each method, as value and two ends. */
  function columns() {
    var now = score(), scale = data.percent.includes(now.unit) ? 100 : 1;
    var base = relative() ? now.dense[0] : 0, found = [points];
    function push(means, ends) {
      function larger(mean, i) { return mean === null ? null : Math.max(mean, ends[i]); }
      function smaller(mean, i) { return mean === null ? null : Math.min(mean, ends[i]); }
      [means, means.map(larger), means.map(smaller)].forEach(function (values) {
        found.push(values.map(function (value) { return value === null ? null : (value - base) * scale; }));
      });
    }
    function all(value) { return points.map(function () { return value; }); }
    push(all(now.dense[0]), all(now.worst === null ? now.dense[0] : now.worst));
    data.methods.forEach(function (_, i) { push(now.mean[i], now.mean[i]); });
    return found;
  }

  function draw() {
    var box = by("chart"), ink = css("--soft"), line = css("--line"), dense = css("--dense");
    var series = [{}], bands = [];
    function add(colour, dash, visible, label, marked) {
      var first = series.length;
      series.push({ label: label, stroke: colour, width: marked ? 2 : 1.5, dash: dash, show: visible, spanGaps: true,
        points: { show: marked && points.length < 30, size: 6, fill: colour } });
      series.push({ show: visible, width: 0, points: { show: false } }, { show: visible, width: 0, points: { show: false } });
      bands.push({ series: [first + 1, first + 2], fill: colour + "22" });
    }
    add(dense, [6, 4], true, "dense", false);
    data.methods.forEach(function (name, i) {
      add(data.colours[i], data.dashed[i] ? [2, 3] : undefined, shown(i), name, true);
    });
    var font = "12px " + getComputedStyle(document.body).fontFamily;
    var pad = 0.06 * Math.max(points[points.length - 1] - points[0], 0.5);
    if (chart) { chart.destroy(); }
    chart = new window.uPlot({
      width: box.clientWidth, height: Math.max(240, Math.min(380, 0.55 * box.clientWidth)), series: series, bands: bands,
      legend: { show: false }, cursor: { y: false, drag: { x: false, y: false } },
      scales: { x: { time: false, range: function () { return [points[0] - pad, points[points.length - 1] + pad]; } } },
      axes: [
        { label: "sparsity", labelFont: font, labelSize: 20, size: 28, stroke: ink, font: font, grid: { show: false }, ticks: { show: false },
          splits: function (self) {
            var every = Math.ceil(points.length * 58 / Math.max(self.width - 60, 58));
            return points.filter(function (_, i) { return i % every === 0; });
          },
          values: function (_, places) { return places.map(function (x) { return data.labels[points.indexOf(x)]; }); } },
        { stroke: ink, font: font, grid: { stroke: line, width: 1 }, ticks: { show: false }, size: 56,
          values: function (_, places, axis, space, step) { return ticks(places, step); } }
      ],
      hooks: { setCursor: [function (self) {
        var at = self.cursor.idx;
        if (at !== null && at !== undefined && String(at) !== by("at").value) { by("at").value = at; tell(); }
      }] }
    }, columns(), box);
    tell();
    mark();
  }

  /* Put the chart's cursor where the slider is. */
  function mark() {
    if (chart) { chart.setCursor({ left: chart.valToPos(points[by("at").value], "x"), top: 0 }, false); }
  }

  /* The numbers at the slider's sparsity, as a table, and in words for the slider. */
  function tell() {
    var now = score(), at = Number(by("at").value), rows = by("values"), words = [];
    by("level").textContent = data.labels[at];
    by("caption").textContent = header() + " at " + data.labels[at] + " (" + now.better + "); "
      + (now.trainings ? data.compared : "dense") + " " + measured(now.dense[0], now.dense[1], now.unit);
    rows.textContent = "";
    data.methods.forEach(function (name, i) {
      if (!shown(i)) { return; }
      var row = rows.insertRow(), cell = document.createElement("th"), text = measured(now.mean[i][at], now.spread[i][at], now.unit);
      var found = now.found && now.found[i][at] !== null ? data.findings[now.found[i][at]] : "–";
      cell.scope = "row";
      cell.textContent = name;
      cell.style.setProperty("--colour", data.colours[i]);
      row.appendChild(cell);
      [text, compared(i, at), found].forEach(function (value, place) {
        var td = row.insertCell();
        td.textContent = value;
        td.className = place < 2 ? "number" : /^(matches|better)$/.test(value) ? "pass" : /worse|failed|degenerate/.test(value) ? "fail" : "";
      });
      words.push(name + " " + text);
    });
    by("at").setAttribute("aria-valuetext", data.labels[at] + ": " + words.join(", "));
    by("says").textContent = header() + (relative() ? ", difference to dense" : "") + ", over sparsity; " + now.better
      + ". Dashed: dense." + (now.worst === null ? "" : " Shaded: as much worse as the margin allows.");
  }

  function option(parent, text, value) {
    var made = document.createElement("option");
    made.textContent = text;
    made.value = value;
    parent.appendChild(made);
  }

  document.addEventListener("DOMContentLoaded", function () {
    if (!by("data") || !window.uPlot) { return; }
    data = JSON.parse(by("data").textContent);
    // Even steps for even shares removed, as the rounds of the grid.
    points = data.sparsities.map(function (s) { return -Math.log(1 - s); });
    var groups = {};
    data.scores.forEach(function (one, place) {
      if (!groups[one.group]) {
        groups[one.group] = by("score").appendChild(document.createElement("optgroup"));
        groups[one.group].label = one.group;
      }
      option(groups[one.group], one.title, place);
    });
    data.methods.forEach(function (name, place) {
      var label = document.createElement("label"), box = document.createElement("input");
      label.className = "check";
      label.style.setProperty("--colour", data.colours[place]);
      box.type = "checkbox";
      box.checked = data.picked[place];
      var line = document.createElement("span");
      line.className = data.dashed[place] ? "dotted" : "";
      label.append(box, line, name);
      by("methods").appendChild(label);
      box.addEventListener("change", draw);
    });
    by("at").max = points.length - 1;
    by("at").value = points.length - 1;
    by("score").addEventListener("change", draw);
    by("difference").addEventListener("change", draw);
    by("at").addEventListener("input", function () { tell(); mark(); });
    document.getElementById("closer").hidden = false;
    draw();
    new ResizeObserver(function () {
      if (chart && by("chart").clientWidth !== chart.width) { draw(); }
    }).observe(by("chart"));
    // Colours are drawn, not styled: draw again when the theme changes.
    new MutationObserver(draw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  });
})();
