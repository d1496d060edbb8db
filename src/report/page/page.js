"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const PAGE = 50;
  // Columns of a row of data.attempts; report/page/data.rs writes them in this order.
  const START = 0, CLIENT = 1, SERVER = 2, VERDICT = 3, CAUSE = 4, SYN = 5, SYNACK = 6, CONNECT = 7, DELAY = 8, RESULT = 9,
    FRAME = 10, WHY = 11, NOT = 12, LADDER = 13;
  const byId = (id) => document.getElementById(id);
  const text = (index) => data.strings[index];

  /** An element with attributes and children; text is never taken for markup. */
  function make(name, attributes = {}, ...children) {
    const svg = ["svg", "rect", "line", "text", "path", "title", "g", "tspan"].includes(name);
    const element = svg ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  /** Microseconds since the first packet as a time of day in the report's zone. */
  function clock(micros, digits = 3) {
    const all = data.base + micros;
    const seconds = Math.floor(all / 1e6);
    const date = new Date(seconds * 1000).toISOString().slice(11, 19);
    const rest = String(all - seconds * 1e6).padStart(6, "0").slice(0, digits);
    return digits > 0 ? `${date}.${rest}` : date;
  }

  /** A span in microseconds with three significant digits, as the text report prints it. */
  function span(micros) {
    if (micros === null) return "–";
    if (micros === 0) return "0 s";
    const [value, unit] = micros < 1e3 ? [micros, "µs"] : micros < 1e6 ? [micros / 1e3, "ms"] : [micros / 1e6, "s"];
    return `${value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2)} ${unit}`;
  }

  const retries = (row) => [row[SYN] && `syn ${row[SYN]}`, row[SYNACK] && `syn-ack ${row[SYNACK]}`].filter(Boolean).join(", ") || "–";
  const number = (value) => value.toLocaleString("en-US");

  // ---- what is shown -------------------------------------------------------------------------------------------------

  const last = data.attempts.reduce((most, row) => Math.max(most, row[START]), 0);
  const whole = { from: 0, until: Math.max(last + 1, 1000) };
  const view = {
    ...whole,
    verdicts: new Set(data.verdicts.keys()),
    server: -1,
    search: "",
    sort: START,
    down: false,
    page: 0,
  };

  function matches(row, ignoreTime) {
    if (!view.verdicts.has(row[VERDICT])) return false;
    if (view.server >= 0 && row[SERVER] !== view.server) return false;
    if (!ignoreTime && (row[START] < view.from || row[START] >= view.until)) return false;
    if (view.search === "") return true;
    const all = `${row[CLIENT]} ${data.servers[row[SERVER]]} ${data.verdicts[row[VERDICT]]} ${text(row[CAUSE])} ${text(row[RESULT])}`;
    return all.toLowerCase().includes(view.search);
  }

  // ---- timeline ------------------------------------------------------------------------------------------------------

  const WIDTH = 1000, HEIGHT = 170, BINS = 100;

  function drawTimeline() {
    const svg = byId("timeline");
    const step = (view.until - view.from) / BINS;
    const bins = Array.from({ length: BINS }, () => new Array(data.verdicts.length).fill(0));
    for (const row of data.attempts) {
      if (!matches(row, false)) continue;
      const bin = Math.min(BINS - 1, Math.floor((row[START] - view.from) / step));
      bins[bin][row[VERDICT]] += 1;
    }
    const most = Math.max(1, ...bins.map((bin) => bin.reduce((a, b) => a + b, 0)));
    const x = (micros) => ((micros - view.from) / (view.until - view.from)) * WIDTH;
    const parts = [];
    for (const episode of data.episodes) {
      if (view.server >= 0 && episode.server !== view.server) continue;
      const [from, until] = [Math.max(0, x(episode.from)), Math.min(WIDTH, x(episode.until))];
      if (until < 0 || from > WIDTH) continue;
      const band = make("rect", { class: "episode", x: from, y: 0, width: Math.max(until - from, 2), height: HEIGHT });
      band.append(make("title", {}, `${text(episode.cause)}, ${data.servers[episode.server]}, from ${clock(episode.from)} to ${clock(episode.until)}`));
      parts.push(band);
    }
    bins.forEach((bin, index) => {
      let y = HEIGHT - 1;
      bin.forEach((count, verdict) => {
        if (count === 0) return;
        const height = Math.max(1.5, (count / most) * (HEIGHT - 12));
        y -= height;
        const bar = make("rect", { class: `s-${data.verdicts[verdict]}`, x: index * (WIDTH / BINS) + 0.5, y, width: WIDTH / BINS - 1, height });
        bar.append(make("title", {}, `${number(count)} ${data.verdicts[verdict]}, from ${clock(view.from + index * step)}`));
        parts.push(bar);
      });
    });
    parts.push(make("line", { class: "axis", x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 }));
    svg.replaceChildren(...parts);
    const digits = view.until - view.from < 2e6 ? 3 : view.until - view.from < 2e7 ? 1 : 0;
    const ticks = innerWidth < 600 ? 3 : 5;
    byId("ticks").replaceChildren(
      ...Array.from({ length: ticks }, (_, i) => make("span", {}, clock(view.from + ((view.until - view.from) * i) / (ticks - 1), digits))),
    );
    byId("most").textContent = `highest bar: ${number(most)} ${most === 1 ? "attempt" : "attempts"} in ${span(step)}`;
    byId("zoom-out").disabled = byId("zoom-all").disabled = view.from === whole.from && view.until === whole.until;
  }

  function zoom(from, until) {
    const length = Math.min(Math.max(until - from, 1000), whole.until - whole.from);
    view.from = Math.round(Math.min(Math.max(from, whole.from), whole.until - length));
    view.until = Math.round(view.from + length);
    view.page = 0;
    show();
  }

  const middle = () => (view.from + view.until) / 2;
  const length = () => view.until - view.from;
  const zoomBy = (factor) => zoom(middle() - (length() * factor) / 2, middle() + (length() * factor) / 2);
  const move = (share) => zoom(view.from + length() * share, view.until + length() * share);

  function listenToTimeline() {
    const svg = byId("timeline");
    byId("zoom-in").addEventListener("click", () => zoomBy(0.5));
    byId("zoom-out").addEventListener("click", () => zoomBy(2));
    byId("earlier").addEventListener("click", () => move(-0.5));
    byId("later").addEventListener("click", () => move(0.5));
    byId("zoom-all").addEventListener("click", () => zoom(whole.from, whole.until));
    byId("timeline-box").addEventListener("keydown", (event) => {
      const keys = { ArrowLeft: () => move(-0.25), ArrowRight: () => move(0.25), "+": () => zoomBy(0.5), "-": () => zoomBy(2), Home: () => zoom(whole.from, whole.until) };
      const action = event.target === event.currentTarget && keys[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    });
    let begun = null;
    let brush = null;
    const place = (event) => {
      const box = svg.getBoundingClientRect();
      return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    };
    svg.addEventListener("pointerdown", (event) => {
      begun = place(event);
      brush = make("rect", { class: "brush", x: begun * WIDTH, y: 0, width: 0, height: HEIGHT });
      svg.append(brush);
      svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointermove", (event) => {
      if (begun === null) return;
      const now = place(event);
      brush.setAttribute("x", Math.min(begun, now) * WIDTH);
      brush.setAttribute("width", Math.abs(now - begun) * WIDTH);
    });
    const end = (event) => {
      if (begun === null) return;
      const [from, until] = [begun, place(event)].sort((a, b) => a - b);
      begun = null;
      brush.remove();
      if (until - from > 0.01) zoom(view.from + from * length(), view.from + until * length());
    };
    svg.addEventListener("pointerup", end);
    svg.addEventListener("pointercancel", () => { begun = null; brush?.remove(); });
  }

  // ---- table ---------------------------------------------------------------------------------------------------------

  const sortKeys = {
    [START]: (row) => row[START],
    [CLIENT]: (row) => row[CLIENT],
    [SERVER]: (row) => data.servers[row[SERVER]],
    [VERDICT]: (row) => row[VERDICT],
    [CAUSE]: (row) => text(row[CAUSE]),
    [SYNACK]: (row) => row[SYN] + row[SYNACK],
    [CONNECT]: (row) => row[CONNECT] ?? -1,
    [RESULT]: (row) => text(row[RESULT]),
  };

  function selected() {
    const rows = [];
    data.attempts.forEach((row, index) => { if (matches(row, false)) rows.push(index); });
    const key = sortKeys[view.sort];
    const sign = view.down ? -1 : 1;
    const keys = new Map(rows.map((index) => [index, key(data.attempts[index])]));
    const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
    return rows.sort((a, b) => sign * compare(keys.get(a), keys.get(b)) || a - b);
  }

  function swatch(verdict) {
    return make("span", { class: `swatch s-${data.verdicts[verdict]}`, "aria-hidden": "true" });
  }

  function drawTable() {
    const rows = selected();
    const pages = Math.max(1, Math.ceil(rows.length / PAGE));
    view.page = Math.min(view.page, pages - 1);
    const body = byId("rows");
    body.replaceChildren(...rows.slice(view.page * PAGE, (view.page + 1) * PAGE).map((index) => {
      const row = data.attempts[index];
      const open = make("button", { class: "link mono", type: "button", "aria-haspopup": "dialog" }, row[CLIENT]);
      const line = make("tr", { class: "row" },
        make("td", { class: "time" }, clock(row[START])),
        make("td", {}, open),
        make("td", { class: "mono optional" }, data.servers[row[SERVER]]),
        make("td", { class: "verdict" }, swatch(row[VERDICT]), data.verdicts[row[VERDICT]]),
        make("td", { class: "optional" }, text(row[CAUSE]) || "–"),
        make("td", { class: "optional verdict" }, retries(row)),
        make("td", { class: "number optional" }, span(row[CONNECT])),
        make("td", { class: "optional" }, text(row[RESULT])));
      line.addEventListener("click", () => openAttempt(index, open));
      return line;
    }));
    const first = rows.length === 0 ? 0 : view.page * PAGE + 1;
    const until = Math.min(rows.length, (view.page + 1) * PAGE);
    const zoomed = view.from > whole.from || view.until < whole.until;
    byId("status").textContent = `${number(rows.length)} of ${number(data.attempts.length)} attempts` +
      (zoomed ? `, from ${clock(view.from)} to ${clock(view.until)}` : "") + (rows.length ? `; ${number(first)} to ${number(until)} shown` : "");
    byId("previous").disabled = view.page === 0;
    byId("next").disabled = view.page >= pages - 1;
    for (const head of document.querySelectorAll("#attempts-table th[data-sort]")) {
      const current = Number(head.dataset.sort) === view.sort;
      head.setAttribute("aria-sort", current ? (view.down ? "descending" : "ascending") : "none");
    }
  }

  function listenToTable() {
    for (const head of document.querySelectorAll("#attempts-table th[data-sort]")) {
      head.querySelector("button").addEventListener("click", () => {
        const column = Number(head.dataset.sort);
        view.down = view.sort === column && !view.down;
        view.sort = column;
        view.page = 0;
        drawTable();
      });
    }
    byId("previous").addEventListener("click", () => { view.page -= 1; drawTable(); });
    byId("next").addEventListener("click", () => { view.page += 1; drawTable(); });
    let waiting;
    byId("search").addEventListener("input", (event) => {
      clearTimeout(waiting);
      waiting = setTimeout(() => { view.search = event.target.value.trim().toLowerCase(); view.page = 0; show(); }, 120);
    });
    const servers = byId("server");
    data.servers.forEach((server, index) => servers.append(make("option", { value: index }, server)));
    servers.addEventListener("change", () => { view.server = Number(servers.value); view.page = 0; show(); });
    const counts = new Array(data.verdicts.length).fill(0);
    data.attempts.forEach((row) => { counts[row[VERDICT]] += 1; });
    byId("verdicts").append(...data.verdicts.flatMap((name, verdict) => {
      if (counts[verdict] === 0) return [];
      const box = make("input", { type: "checkbox" });
      box.checked = true;
      box.addEventListener("change", () => {
        if (box.checked) view.verdicts.add(verdict); else view.verdicts.delete(verdict);
        view.page = 0;
        show();
      });
      return [make("label", {}, box, swatch(verdict), `${name} (${number(counts[verdict])})`)];
    }));
  }

  // ---- one attempt ---------------------------------------------------------------------------------------------------

  const measure = document.createElement("canvas").getContext("2d");

  /** The words of a text in lines of at most so many pixels. */
  function lines(words, font, width) {
    measure.font = font;
    const all = [];
    let line = "";
    for (const word of words.split(" ")) {
      const longer = line === "" ? word : `${line} ${word}`;
      if (line !== "" && measure.measureText(longer).width > width) { all.push(line); line = word; } else line = longer;
    }
    return [...all, line];
  }

  // Columns of a row of a ladder.
  const AT = 0, SENDER = 1, LABEL = 2, MEANING = 3, TONE = 4, NUMBER = 5, MISSED = 6;
  const CLIENT_SENDS = 0, SERVER_SENDS = 1;

  /** A text cut to so many pixels. */
  function cut(words, font, width) {
    measure.font = font;
    if (measure.measureText(words).width <= width) return words;
    let kept = words.length;
    while (kept > 1 && measure.measureText(`${words.slice(0, kept)}…`).width > width) kept -= 1;
    return `${words.slice(0, kept)}…`;
  }

  /** The arrow of a message: from its sender's line to the last that saw it, with a cross where it got no further. */
  function drawArrow(svg, row, bars, y, tone) {
    const outward = row[SENDER] === CLIENT_SENDS;
    const way = outward ? bars : [...bars].reverse();
    const missed = new Set(row[MISSED].map((place) => (outward ? place : bars.length - 1 - place)));
    const seen = way.map((_, place) => place).filter((place) => !missed.has(place));
    const first = seen[0] ?? 0, last = seen[seen.length - 1] ?? 0;
    const sign = outward ? 1 : -1;
    const half = (place) => (way[place] + way[place + 1]) / 2;
    const from = first > 0 ? half(first - 1) : way[0];
    const to = last < way.length - 1 ? way[last + 1] - sign * 14 : way[last];
    svg.append(make("line", { x1: from, x2: to, y1: y + 3, y2: y + 3, class: tone }));
    const arrows = seen.filter((place) => place > 0);
    for (const place of arrows) svg.append(make("path", { d: `M${way[place]} ${y + 3} l${-9 * sign} -5 v10 z`, class: tone }));
    if (last < way.length - 1) svg.append(make("path", { d: `M${to - 5} ${y - 2} l10 10 m0 -10 l-10 10`, class: `stop ${tone}` }));
    return [Math.min(from, to), Math.max(from, to)];
  }

  /** The middle of the lane that holds a label: the first one of its arrow where it fits between two lines. */
  function placeOfLabel(words, font, bars, from, to) {
    measure.font = font;
    const needed = measure.measureText(words).width + 8;
    const edges = [from, ...bars.filter((x) => x > from && x < to), to];
    const lane = edges.slice(1).map((edge, place) => [edges[place], edge]).find(([left, right]) => right - left >= needed);
    return lane ? (lane[0] + lane[1]) / 2 : (from + to) / 2;
  }

  function drawLadder([names, rows], width) {
    const font = '13px system-ui, "DejaVu Sans", sans-serif';
    const mono = '13px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace';
    const wide = width >= 640;
    const left = wide ? 170 : 72;
    // Further lines are nearer to one another where many would leave no room for the meanings.
    const lane = names.length === 2 ? 230 : Math.max(90, Math.min(210, (width - left - 16 - 260) / (names.length - 1)));
    const right = wide ? left + lane * (names.length - 1) : width - 8;
    const bars = names.map((_, place) => left + ((right - left) * place) / (names.length - 1));
    const beside = wide && width - right >= 220;
    const margin = beside ? right + 16 : left + 8;
    const room = (beside ? width : Math.max(right, width - 8)) - margin - 4;
    const svg = make("svg", { class: "ladder", width, role: "img", "aria-label": "message diagram; the same as text follows" });
    const label = (x, y, content, style, anchor = "start") => make("text", { x, y, class: style, "text-anchor": anchor }, content);
    names.forEach((name, place) => {
      const anchor = wide || (place > 0 && place < names.length - 1) ? "middle" : place === 0 ? "start" : "end";
      const space = bars[1] - bars[0];
      const head = label(bars[place], 14, cut(text(name), mono, space - 12), "soft", anchor);
      head.append(make("title", {}, text(name)));
      svg.append(head);
    });
    let y = 34;
    let before = null;
    for (const row of rows) {
      const tone = ["", "trouble", "good"][row[TONE]];
      const meaning = lines(text(row[MEANING]), font, room);
      const aside = row[SENDER] !== CLIENT_SENDS && row[SENDER] !== SERVER_SENDS;
      if (!aside) {
        svg.append(label(0, y + 4, span(row[AT]), "soft"));
        if (wide && before !== null) svg.append(label(84, y + 4, `+${span(Math.max(0, row[AT] - before))}`, "soft"));
        before = row[AT];
        const [from, to] = drawArrow(svg, row, bars, y, tone);
        const words = text(row[LABEL]);
        svg.append(label(placeOfLabel(words, mono, bars, from, to), y - 3, words, `over ${tone}`, "middle"));
      }
      let below = beside || aside ? y + 4 : y + 20;
      for (const line of meaning) {
        svg.append(label(margin, below, line, `over meaning ${aside ? "soft" : tone}`));
        below += 17;
      }
      y = Math.max(y + 30, below + 12);
    }
    svg.prepend(...bars.map((x) => make("line", { class: "bar", x1: x, x2: x, y1: 20, y2: y - 8 })));
    svg.setAttribute("height", y);
    return svg;
  }

  function list(title, indexes) {
    if (indexes.length === 0) return [];
    return [make("h3", {}, title), make("ul", {}, ...indexes.map((index) => make("li", {}, text(index))))];
  }

  /** Draws the open ladder anew, in the width that it has now. */
  let redraw = () => {};

  function openAttempt(index, opener) {
    const row = data.attempts[index];
    const dialog = byId("attempt");
    byId("attempt-title").textContent = `${row[CLIENT]} > ${data.servers[row[SERVER]]}`;
    const facts = [
      ["Verdict", data.verdicts[row[VERDICT]]], ["Cause", text(row[CAUSE]) || "none found"], ["First packet", `${clock(row[START], 6)}, frame ${number(row[FRAME])}`],
      ["Retries", retries(row)], ["Connect time", span(row[CONNECT]) + (row[DELAY] ? `, of which retries cost ${span(row[DELAY])}` : "")], ["connect()", text(row[RESULT])],
    ];
    const body = byId("attempt-body");
    body.replaceChildren(
      make("dl", { class: "figures" }, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])),
      ...list("Why", row[WHY]), ...list("What it is not", row[NOT]), make("h3", {}, "Messages"));
    dialog.showModal();
    const ladder = row[LADDER] >= 0 ? data.ladders[row[LADDER]] : null;
    redraw = () => {};
    if (ladder === null) {
      body.append(make("p", {}, "The page has the packets of the worst attempts only. For this one: ", make("code", {}, `hsanalyze --attempt ${row[CLIENT]} FILE`)));
    } else {
      const drawing = make("div");
      redraw = () => drawing.replaceChildren(drawLadder(ladder, body.clientWidth - 32));
      redraw();
      body.append(drawing, make("ol", { class: "sr" }, ...ladder[1].map((line) => {
        const sender = ["client sends ", "server sends ", ""][line[SENDER]];
        return make("li", {}, `${line[AT] === null ? "" : `${span(line[AT])}: `}${sender}${text(line[LABEL])} ${text(line[MEANING])}`);
      })));
    }
    const close = () => { dialog.close(); opener.focus(); };
    byId("close").onclick = close;
    dialog.onclick = (event) => { if (event.target === dialog) close(); };
    // The Escape key.
    dialog.onclose = () => opener.focus();
    byId("close").focus();
  }

  // ---- all together --------------------------------------------------------------------------------------------------

  function show() {
    drawTimeline();
    drawTable();
  }

  byId("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  addEventListener("resize", () => { drawTimeline(); if (byId("attempt").open) redraw(); });
  for (const element of document.querySelectorAll("[hidden].scripted")) element.hidden = false;
  listenToTimeline();
  listenToTable();
  show();
})();
