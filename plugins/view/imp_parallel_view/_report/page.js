"use strict";
// Draws the timeline: a row for each slave, only those rows that can be seen. Times are millionths
// of the run's length; all text is put on the canvas or set as text, never as HTML.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const box = document.getElementById("timeline"), inner = document.getElementById("rows");
  const canvas = inner.querySelector("canvas"), pen = canvas.getContext("2d");
  const tip = document.getElementById("tip"), all = document.getElementById("all");
  const UNIT = 1e6, NAMES = 120, AXIS = 24, COLOURS = 6;
  const rows = data.rows;
  const high = Math.max(8, Math.min(26, Math.floor(520 / Math.max(rows.length, 1))));
  const view = { from: 0, to: UNIT };
  let colours = {}, wide = 0, tall = 0, drag = null;

  const KINDS = { "setting up": "setting-up" };
  const STATES = ["queued", "starting", "setting-up", "idle"];
  const stateColour = (kind) => {
    const name = KINDS[data.doing[kind]] || data.doing[kind];
    return colours[STATES.includes(name) ? name : "others"];
  };
  const contextColour = (number) => colours["context-" + (number % COLOURS)];

  function readColours() {
    const style = getComputedStyle(document.documentElement);
    const names = ["text", "muted", "line", "card", "failed", "others", ...STATES];
    for (let index = 0; index < COLOURS; index++) names.push("context-" + index);
    colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue("--" + name).trim()]));
    for (const swatch of document.querySelectorAll("[data-context]"))
      swatch.style.background = contextColour(Number(swatch.dataset.context));
  }

  function duration(seconds) {
    if (seconds < 0.0009995) return (seconds * 1e6).toFixed(0) + " µs";
    if (seconds < 0.9995) return Number((seconds * 1e3).toPrecision(3)) + " ms";
    if (seconds < 59.5) return Number(seconds.toPrecision(seconds < 9.95 ? 2 : 3)) + " s";
    for (const [large, one, small, two] of [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]]) {
      const count = Math.round(seconds / small);
      if (count * small >= large) {
        const rest = count % Math.round(large / small);
        return Math.floor(count * small / large) + " " + one + (rest ? " " + rest + " " + two : "");
      }
    }
    return seconds.toFixed(0) + " s";
  }

  const x = (place) => NAMES + (place - view.from) / (view.to - view.from) * (wide - NAMES);
  const place = (at) => view.from + (at - NAMES) / (wide - NAMES) * (view.to - view.from);
  const seconds = (units) => units / UNIT * data.span_s;

  function resize() {
    wide = Math.max(box.clientWidth, 400);
    const needed = rows.length * high + AXIS;
    tall = Math.min(needed, 640);
    inner.style.height = needed + "px";
    const ratio = window.devicePixelRatio || 1;
    canvas.width = wide * ratio; canvas.height = tall * ratio;
    canvas.style.width = wide + "px"; canvas.style.height = tall + "px";
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    draw();
  }

  function bar(begin, end, top, height, colour, alpha) {
    const left = Math.max(x(begin), NAMES), right = Math.min(x(end), wide);
    if (right < NAMES || left > wide || right < left) return;
    pen.globalAlpha = alpha; pen.fillStyle = colour;
    pen.fillRect(left, top, Math.max(right - left, 0.6), height);
    pen.globalAlpha = 1;
  }

  function drawRow(row, top) {
    const gap = high > 12 ? 2 : 1, height = high - gap, thin = Math.max(height * 0.34, 2);
    for (const [begin, end, kind] of row.states)
      bar(begin, end, top + (height - thin) / 2, thin, stateColour(kind), 1);
    for (const [begin, end, kind] of row.states)
      if (data.doing[kind] === "setting up") bar(begin, end, top, height, colours["setting-up"], 1);
    for (const [begin, length, share, , failed, context] of row.cells) {
      bar(begin, begin + length, top, height, contextColour(context), 0.25 + 0.75 * share / 1000);
      if (failed) bar(begin, begin + length, top + height * 0.7, height * 0.3, colours.failed, 1);
    }
    for (const [begin, length, context, outcome] of row.tasks) {
      const separated = x(begin + length) - x(begin) > 4 ? length - (view.to - view.from) / (wide - NAMES) : length;
      bar(begin, begin + separated, top, height, outcome ? colours.failed : contextColour(context), 1);
    }
    for (const [at, , began] of row.deaths) {
      bar(began, at, top, height, colours.failed, 0.45);
      const left = x(at), middle = top + height / 2, size = Math.min(height / 2, 5);
      if (left < NAMES || left > wide) continue;
      pen.strokeStyle = colours.failed; pen.lineWidth = 2; pen.beginPath();
      pen.moveTo(left - size, middle - size); pen.lineTo(left + size, middle + size);
      pen.moveTo(left - size, middle + size); pen.lineTo(left + size, middle - size); pen.stroke();
    }
  }

  function draw() {
    const first = Math.floor(box.scrollTop / high), shown = Math.ceil((tall - AXIS) / high) + 1;
    const offset = -(box.scrollTop % high);
    pen.clearRect(0, 0, wide, tall);
    pen.save(); pen.beginPath(); pen.rect(0, 0, wide, tall - AXIS); pen.clip();
    pen.font = Math.max(10, Math.min(high - 2, 12)) + "px system-ui, 'DejaVu Sans', sans-serif"; pen.textBaseline = "middle";
    const every = Math.ceil(12 / high);
    for (let index = first; index < Math.min(first + shown, rows.length); index++) {
      const top = offset + (index - first) * high;
      drawRow(rows[index], top);
      pen.fillStyle = colours.muted;
      if (index % every === 0) pen.fillText(short(rows[index].name), 0, Math.max(top + high / 2, 6), NAMES - 10);
    }
    pen.restore();
    drawAxis();
    if (drag) {
      pen.fillStyle = colours.text; pen.globalAlpha = 0.12;
      pen.fillRect(Math.min(drag.from, drag.to), 0, Math.abs(drag.to - drag.from), tall - AXIS);
      pen.globalAlpha = 1;
    }
  }

  const short = (name) => name.length > 18 ? name.slice(0, 17) + "…" : name;

  function drawAxis() {
    const span = seconds(view.to - view.from);
    const steps = [1, 2, 5].flatMap((n) => [...Array(12).keys()].map((p) => n * 10 ** (p - 6)));
    steps.push(15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800);
    const fit = steps.filter((step) => (span < 60 || step % 1 === 0) && span / step <= 8).sort((a, b) => a - b);
    const step = fit.find((one) => span < 120 || one >= 15 && one % 15 === 0) || span;
    pen.font = "11px system-ui, 'DejaVu Sans', sans-serif"; pen.textBaseline = "alphabetic";
    pen.fillStyle = colours.muted; pen.strokeStyle = colours.line; pen.lineWidth = 1;
    for (let at = Math.ceil(seconds(view.from) / step) * step; at <= seconds(view.to); at += step) {
      const left = x(at / data.span_s * UNIT);
      pen.beginPath(); pen.moveTo(left + 0.5, tall - AXIS); pen.lineTo(left + 0.5, tall - AXIS + 5); pen.stroke();
      const text = at < step / 2 ? "0" : duration(at), half = pen.measureText(text).width / 2;
      pen.fillText(text, Math.min(Math.max(left - half, NAMES), wide - 2 * half), tall - 5);
    }
  }

  function whatIsAt(left, top) {
    const row = rows[Math.floor((top + box.scrollTop) / high)];
    if (!row || top > tall - AXIS) return "";
    const title = row.name + (row.host ? " on " + row.host : "");
    const at = place(left), near = 4 * (view.to - view.from) / (wide - NAMES);
    if (left < NAMES) return title;
    const found = [];
    for (const [when, why] of row.deaths)
      if (Math.abs(when - at) <= near) found.push("its process died: " + data.details[why]);
    for (const [begin, length, context, outcome, number, attempt] of row.tasks)
      if (begin <= at && at <= begin + length)
        found.push("task " + number + " of " + (data.contexts[context] || "context " + context) +
          (attempt > 1 ? ", attempt " + attempt : "") + ": " + duration(seconds(length)) + (outcome ? ", failed" : ""));
    for (const [begin, length, share, count, failed, context] of row.cells)
      if (!found.length && begin <= at && at <= begin + length)
        found.push(count.toLocaleString("en") + (count === 1 ? " task of " : " tasks, most of ") +
          (data.contexts[context] || "context " + context) +
          (failed ? ", " + failed + " failed" : "") + ": at work for " + Math.round(share / 10) + " % of " + duration(seconds(length)));
    for (const [begin, end, kind, why] of row.states)
      if (!found.length && begin <= at && at <= end)
        found.push(data.doing[kind] + " for " + duration(seconds(end - begin)) +
          (data.details[why] ? ": " + data.details[why] : ""));
    return [title + ", after " + duration(seconds(at)), ...found].join("\n");
  }

  function show(from, to) {
    if (to - from < 20) return;
    view.from = Math.max(from, 0); view.to = Math.min(to, UNIT);
    all.hidden = view.from === 0 && view.to === UNIT;
    draw();
  }

  const inside = (event) => {
    const at = canvas.getBoundingClientRect();
    return [event.clientX - at.left, event.clientY - at.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    const [left] = inside(event);
    if (left > NAMES) { drag = { from: left, to: left }; canvas.setPointerCapture(event.pointerId); }
  });
  canvas.addEventListener("pointermove", (event) => {
    const [left, top] = inside(event);
    if (drag) { drag.to = Math.min(Math.max(left, NAMES), wide); draw(); }
    tip.textContent = whatIsAt(left, top);
    tip.hidden = !tip.textContent;
    const away = event.clientX > window.innerWidth - 440 ? -12 - tip.offsetWidth : 14;
    tip.style.left = event.clientX + away + "px"; tip.style.top = event.clientY + 16 + "px";
  });
  canvas.addEventListener("pointerup", () => {
    const made = drag; drag = null;
    if (made && Math.abs(made.to - made.from) > 5)
      show(place(Math.min(made.from, made.to)), place(Math.max(made.from, made.to)));
    else draw();
  });
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  canvas.addEventListener("dblclick", () => show(0, UNIT));
  all.addEventListener("click", () => show(0, UNIT));
  box.addEventListener("scroll", draw);
  window.addEventListener("resize", resize);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); draw(); });
  readColours();
  resize();
})();
