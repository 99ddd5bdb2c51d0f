"use strict";
// Everything here is an addition: without it the page has the same words, tables and drawings.
// Names of patients and features come from users' files, so they are handled as text only (textContent, dataset).
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const SHOWN = 25;
  const FILTERED = 10;
  const MISSING = new Set(["", "–", "·"]);
  const order = new Intl.Collator("en", { numeric: true });

  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const draw = (tag, attributes, text) => {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // --- tables ------------------------------------------------------------------------------------------------------

  const leading = /^(?:p\s*)?([=<>≤≥])?\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)/i;
  const numeric = (cell) => {
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value.replace("inf", "Infinity"));
    const found = leading.exec(cell.textContent.trim().replace(/−/g, "-").replace(/(\d),(?=\d{3})/g, "$1"));
    if (!found) return NaN;
    const nudge = { "<": -1, ">": 1 }[found[1]] || 0;  // "< 0.001" comes before "0.001"
    return Number(found[2]) * (1 + nudge * 1e-9);
  };
  const keyOf = (rows, column) => {
    const cells = rows.map((row) => row.cells[column]);
    const said = cells.map((cell) => cell.textContent.trim());
    const missing = cells.map((cell, i) => cell.dataset.value === undefined && MISSING.has(said[i]));
    const values = cells.map(numeric);
    const plain = cells.some((cell) => cell.classList.contains("l") && cell.dataset.value === undefined);
    const numbers = !plain && values.every((value, i) => missing[i] || !Number.isNaN(value));
    return { missing, compare: numbers ? (a, b) => values[a] - values[b] : (a, b) => order.compare(said[a], said[b]) };
  };
  const sorted = (rows, column, sign) => {
    const { missing, compare } = keyOf(rows, column);
    const places = rows.map((_, i) => i);
    places.sort((a, b) => missing[a] - missing[b] || (missing[a] ? 0 : sign * compare(a, b)) || a - b);
    return places.map((i) => rows[i]);
  };

  const sortable = (table, rows, refresh) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = make("button", { type: "button", className: "sort" });
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const next = { none: "ascending", ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")];
        heads.forEach((other) => other.setAttribute("aria-sort", other === head ? next : "none"));
        const placed = next === "none" ? rows : sorted(rows, column, next === "ascending" ? 1 : -1);
        table.tBodies[0].append(...placed);
        refresh();
      });
    });
  };

  const shortened = (sheet, table, rows) => {
    const body = table.tBodies[0];
    const tools = make("div", { className: "tools" });
    const said = make("span", { className: "shown" });
    said.setAttribute("aria-live", "polite");
    const box = make("input", { type: "search", autocomplete: "off", spellcheck: false });
    const more = make("button", { type: "button" });
    const note = make("p", { className: "cut" });
    let all = rows.length <= SHOWN || "whole" in sheet.dataset;
    const text = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
    const refresh = () => {
      const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      let matching = 0;
      let visible = 0;
      for (const row of body.rows) {
        const matches = words.every((word) => text.get(row).includes(word));
        matching += matches;
        row.hidden = !(matches && (all || matching <= SHOWN || row.querySelector(".marked")));
        visible += !row.hidden;
      }
      const found = words.length ? `${matching} of ${rows.length} rows match` : `${rows.length} rows`;
      said.textContent = visible < matching ? `${found}, ${visible} shown` : found;
      note.textContent = visible < rows.length ? `${visible} of ${rows.length} rows are printed.` : "";
      more.textContent = all ? `Show the first ${SHOWN}` : `Show all ${rows.length}`;
    };
    if (rows.length > FILTERED) {
      tools.append(make("label", {}, "Filter ", box), said);
      if (!all) tools.append(more);
      sheet.prepend(tools);
      sheet.append(note);
      box.addEventListener("input", refresh);
      more.addEventListener("click", () => { all = !all; refresh(); });
    }
    refresh();
    sheet.addEventListener("mark", refresh);
    return refresh;
  };

  for (const sheet of document.querySelectorAll(".sheet")) {
    const table = sheet.querySelector("table");
    const rows = [...table.tBodies[0].rows];
    const compact = table.closest(".compact");
    if (!compact && rows.length > 1) sortable(table, rows, shortened(sheet, table, rows));
  }
  // Only what scrolls needs to be reached by the tab key.
  const boxes = document.querySelectorAll(".table");
  const reachable = () => boxes.forEach((box) => { box.tabIndex = box.scrollWidth > box.clientWidth ? 0 : -1; });

  // --- scatters ----------------------------------------------------------------------------------------------------

  const SHAPES = [
    "M4 0A4 4 0 1 1-4 0A4 4 0 1 1 4 0Z", "M-3.5-3.5H3.5V3.5H-3.5Z", "M0-5L5 0L0 5L-5 0Z", "M0-4.6L4.4 3.6H-4.4Z",
    "M0 4.6L4.4-3.6H-4.4Z", "M-1.5-4.5H1.5V-1.5H4.5V1.5H1.5V4.5H-1.5V1.5H-4.5V-1.5H-1.5Z",
    "M0-2L2.5-4.5L4.5-2.5L2 0L4.5 2.5L2.5 4.5L0 2L-2.5 4.5L-4.5 2.5L-2 0L-4.5-2.5L-2.5-4.5Z",
    "M-4.6 0L3.6-4.4V4.4Z", "M4.6 0L-3.6-4.4V4.4Z", "M4.4 0L2.2 3.8H-2.2L-4.4 0L-2.2-3.8H2.2Z",
  ];
  const RAMP = [[189, 214, 232], [8, 48, 75]];
  const short = (value) => (value === null ? "not known" : String(Number(value.toPrecision(4))).replace("-", "−"));
  const known = (values) => values.filter((value) => value !== null);
  const span = (values) => {
    const [low, high] = known(values).reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
    if (low > high) return [0, 1];
    const margin = 0.04 * (high - low) || Math.abs(low) || 1;
    return [low - margin, high + margin];
  };
  const ticks = ([low, high], wanted) => {
    const raw = (high - low) / wanted;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].find((factor) => factor * power >= raw) * power;
    const found = [];
    for (let i = Math.ceil(low / step); i * step <= high; i += 1) found.push(Number((i * step).toPrecision(12)));
    return found;
  };
  const ramp = (share) => {
    const mixed = RAMP[0].map((dark, i) => Math.round(dark + share * (RAMP[1][i] - dark)));
    return `rgb(${mixed.join(",")})`;
  };
  const quantile = (ordered, share) => ordered[Math.round(share * (ordered.length - 1))];

  // How the patients of one colouring look: style of each patient, and the entries of the legend.
  const lookOf = (data, colouring) => {
    const { palette, ink } = data;
    const unknown = { fill: "none", stroke: ink.soft, d: SHAPES[0] };
    const legend = [];
    let looks;
    if (colouring && colouring.levels) {
      looks = colouring.levels.map((_, i) => {
        const turn = Math.floor(i / palette.length);
        return { fill: palette[i % palette.length], stroke: "#fff", d: SHAPES[(i + turn) % SHAPES.length] };
      });
      const counts = looks.map(() => 0);
      colouring.codes.forEach((code) => { if (code !== null) counts[code] += 1; });
      looks.forEach((look, i) => { if (counts[i]) legend.push([look, `${colouring.levels[i]} (${counts[i]})`]); });
      looks = colouring.codes.map((code) => (code === null ? unknown : looks[code]));
    } else if (colouring) {
      const ordered = known(colouring.values).sort((a, b) => a - b);
      const [low, high] = [quantile(ordered, 0.02), quantile(ordered, 0.98)];
      const share = (value) => (high > low ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 0.5);
      looks = colouring.values.map((value) =>
        (value === null ? unknown : { fill: ramp(share(value)), stroke: "#fff", d: SHAPES[0] }));
      [0, 0.25, 0.5, 0.75, 1].forEach((part, i) => {
        const sign = ["≤ ", "", "", "", "≥ "][i];
        const value = low + part * (high - low);
        if (ordered.length) legend.push([{ fill: ramp(part), stroke: "#fff", d: SHAPES[1] }, sign + short(value)]);
      });
    } else {
      looks = data.samples.map(() => ({ fill: ink.accent, stroke: "#fff", d: SHAPES[0] }));
    }
    const lacking = looks.filter((look) => look === unknown).length;
    if (lacking) legend.push([unknown, `not known (${lacking})`]);
    return { looks, legend };
  };

  const axes = (svg, frame, spans, names, ink) => {
    const { left, right, top, bottom, x, y } = frame;
    const text = { fill: ink.text, "font-size": 12 };
    for (const value of ticks(spans[0], Math.max(3, (right - left) / 80))) {
      svg.append(draw("path", { d: `M${x(value)} ${bottom}v5`, stroke: ink.soft }));
      svg.append(draw("text", { ...text, x: x(value), y: bottom + 18, "text-anchor": "middle" }, short(value)));
    }
    for (const value of ticks(spans[1], 5)) {
      svg.append(draw("path", { d: `M${left} ${y(value)}H${right}`, stroke: "#e4e8ec" }));
      svg.append(draw("text", { ...text, x: left - 8, y: y(value) + 4, "text-anchor": "end" }, short(value)));
    }
    svg.append(draw("path", { d: `M${left} ${top}V${bottom}H${right}`, stroke: ink.soft, fill: "none" }));
    const title = { ...text, "font-weight": "bold", "font-size": 13 };
    svg.append(draw("text", { ...title, x: (left + right) / 2, y: bottom + 38, "text-anchor": "middle" }, names[0]));
    svg.append(draw("text", { ...title, x: 4, y: 14 }, names[1]));
  };

  const scatter = (figure) => {
    const data = JSON.parse(figure.querySelector("script").textContent);
    const chosen = { x: 0, y: Math.min(1, data.columns.length - 1), colour: 0 };
    const select = (what, label, entries) => {
      const box = make("select", {}, ...entries.map((entry, i) => make("option", { value: i }, entry.name)));
      box.value = chosen[what];
      box.addEventListener("change", () => { chosen[what] = Number(box.value); redraw(); });
      return make("label", {}, `${label} `, box);
    };
    const tools = make("div", { className: "tools" }, select("x", "Across", data.columns),
      select("y", "Up", data.columns));
    if (data.colourings.length) tools.append(select("colour", "Colour", data.colourings));
    const stage = make("div", { className: "stage" });
    figure.querySelector(".still").hidden = true;
    figure.prepend(tools, stage);

    const redraw = () => {
      const [across, up, colouring] = [data.columns[chosen.x], data.columns[chosen.y], data.colourings[chosen.colour]];
      const { looks, legend } = lookOf(data, colouring);
      const width = Math.min(760, Math.max(300, stage.clientWidth));
      const beside = width > 560;
      const height = Math.round(beside ? 0.58 * width : 0.86 * width);
      const rows = beside ? 0 : legend.length;
      const right = beside ? width - 190 : width - 10;
      const spans = [span(across.values), span(up.values)];
      const frame = { left: 48, right, top: 26, bottom: height - 46 };
      frame.x = (v) => frame.left + (right - frame.left) * (v - spans[0][0]) / (spans[0][1] - spans[0][0]);
      frame.y = (v) => frame.bottom - (frame.bottom - frame.top) * (v - spans[1][0]) / (spans[1][1] - spans[1][0]);
      const svg = draw("svg", { viewBox: `0 0 ${width} ${height + (rows ? 18 * rows + 30 : 0)}`, role: "img", tabindex: 0 });
      axes(svg, frame, spans, [across.name, up.name], data.ink);
      const marks = draw("g", { "stroke-width": 0.7 });
      const said = colouring ? (colouring.codes || colouring.values) : null;
      let shown = 0;
      data.samples.forEach((sample, i) => {
        const [a, b] = [across.values[i], up.values[i]];
        if (a === null || b === null) return;
        const { fill, stroke, d } = looks[i];
        const place = `translate(${frame.x(a).toFixed(1)} ${frame.y(b).toFixed(1)})`;
        const mark = draw("path", { d, fill, stroke, transform: place });
        mark.dataset.sample = sample;
        const colour = said && (colouring.levels ? colouring.levels[said[i]] ?? "not known" : short(said[i]));
        mark.dataset.tip = [`${across.name}: ${short(a)}`, `${up.name}: ${short(b)}`,
          ...(said ? [`${colouring.name}: ${colour}`] : [])].join("\n");
        marks.append(mark);
        shown += 1;
      });
      svg.append(marks);
      const at = beside ? { x: right + 24, y: frame.top + 8 } : { x: frame.left, y: height + 14 };
      if (colouring && legend.length) {
        svg.append(draw("text", { ...at, fill: data.ink.text, "font-size": 12, "font-weight": "bold" }, colouring.name));
      }
      legend.forEach(([look, words], i) => {
        const y = at.y + 18 * (i + 1);
        svg.append(draw("path", { d: look.d, fill: look.fill, stroke: look.stroke, transform: `translate(${at.x + 5} ${y - 4})` }));
        const entry = words.length > 26 && beside ? `${words.slice(0, 25)}…` : words;
        svg.append(draw("text", { x: at.x + 18, y, fill: data.ink.text, "font-size": 12 }, entry));
      });
      const by = colouring ? `, coloured by ${colouring.name}` : "";
      const hint = "Arrow keys go from patient to patient.";
      svg.setAttribute("aria-label", `Scatter of ${shown} patients: ${across.name} across, ${up.name} up${by}. ${hint}`);
      svg.addEventListener("keydown", (event) => walk(event, marks));
      stage.replaceChildren(svg);
      mark();
    };
    window.addEventListener("resize", redraw);
    redraw();
  };

  // From patient to patient, from left to right.
  const walk = (event, marks) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const across = (element) => Number(/\(([-\d.]+)/.exec(element.getAttribute("transform"))[1]);
    const ordered = [...marks.querySelectorAll("[data-sample]")].sort((a, b) => across(a) - across(b));
    const now = ordered.findIndex((element) => element === walk.at);
    walk.at = ordered[(now + step + ordered.length) % ordered.length];
    if (walk.at) tell(walk.at);
  };

  // --- pointing at things ------------------------------------------------------------------------------------------

  const tip = make("div", { className: "tip", hidden: true });
  tip.setAttribute("role", "status");
  const tell = (element) => {
    const { sample, tip: words } = element.dataset;
    tip.replaceChildren(...(sample ? [make("strong", {}, sample)] : []), ...(words ? [make("span", {}, words)] : []));
    tip.hidden = false;
    const box = element.getBoundingClientRect();
    const size = tip.getBoundingClientRect();
    const fits = box.top - size.height - 8 > 0;
    const left = Math.min(Math.max(4, box.left + box.width / 2 - size.width / 2), document.documentElement.clientWidth - size.width - 4);
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${fits ? box.top - size.height - 8 : box.bottom + 8}px`;
  };
  const pointed = (event) => event.target.closest && event.target.closest("[data-sample], [data-tip]");
  document.addEventListener("pointerover", (event) => {
    const element = pointed(event);
    if (element) tell(element);
    else tip.hidden = true;
  });
  document.addEventListener("focusin", (event) => { if (pointed(event)) tell(pointed(event)); });
  document.addEventListener("focusout", () => { tip.hidden = true; });
  document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });

  // --- one patient everywhere --------------------------------------------------------------------------------------

  const search = make("input", { type: "search", id: "patient", autocomplete: "off", spellcheck: false });
  const answer = make("p", { className: "answer" });
  answer.setAttribute("aria-live", "polite");

  const ring = (element) => {
    const box = element.getBBox();
    const place = element.getAttribute("transform");
    const radius = Math.max(box.width, box.height) / 2 + 4;
    const circle = draw("circle", { class: "ring", cx: box.x + box.width / 2, cy: box.y + box.height / 2, r: radius });
    if (place) circle.setAttribute("transform", place);
    element.parentNode.append(circle);
  };
  const mark = () => {
    document.querySelectorAll(".ring").forEach((circle) => circle.remove());
    document.querySelectorAll(".marked").forEach((element) => element.classList.remove("marked"));
    const asked = search.value.trim().toLowerCase();
    const everything = [...document.querySelectorAll("[data-sample]")].filter((one) => !one.closest(".still[hidden]"));
    const names = new Set(everything.map((element) => element.dataset.sample));
    const alike = [...names].filter((name) => name.toLowerCase().includes(asked));
    const exact = alike.filter((name) => name.toLowerCase() === asked);
    const found = exact.length ? exact : alike;
    if (asked && found.length === 1) {
      const its = everything.filter((element) => element.dataset.sample === found[0]);
      its.forEach((element) => {
        element.classList.add("marked");
        if (element instanceof SVGGraphicsElement && element.getClientRects().length) ring(element);
      });
      answer.textContent = `${found[0]}: marked in ${its.length} ${its.length === 1 ? "place" : "places"}`;
    } else if (asked) {
      answer.textContent = found.length ? `${found.length} patients match` : "no such patient in the figures and tables";
    } else {
      answer.textContent = "";
    }
    document.querySelectorAll(".sheet").forEach((sheet) => sheet.dispatchEvent(new Event("mark")));
  };
  search.addEventListener("input", mark);
  document.addEventListener("click", (event) => {
    const element = event.target.closest && event.target.closest("svg [data-sample]");
    if (!element) return;
    search.value = search.value === element.dataset.sample ? "" : element.dataset.sample;
    mark();
  });

  // --- text to take away -------------------------------------------------------------------------------------------

  const copyable = (prose) => {
    const button = make("button", { type: "button" }, "Copy the text");
    const said = make("span", { className: "shown" });
    said.setAttribute("aria-live", "polite");
    const text = [...prose.querySelectorAll("p")].map((paragraph) => paragraph.textContent).join("\n\n");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        said.textContent = "copied";
      } catch {  // the browser does not let a file write to the clipboard
        getSelection().selectAllChildren(prose);
        said.textContent = document.execCommand("copy") ? "copied" : "selected: copy it with the keyboard";
      }
    });
    prose.before(make("div", { className: "tools" }, button, said));
  };

  // --- where the reader is -----------------------------------------------------------------------------------------

  const contents = document.querySelector("nav");
  const links = new Map([...contents.querySelectorAll("a")].map((link) => [link.getAttribute("href").slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      links.forEach((link) => link.removeAttribute("aria-current"));
      links.get(target.id).setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-10% 0px -80% 0px" });
  document.querySelectorAll("main > section").forEach((section) => seen.observe(section));

  document.body.append(tip);
  document.querySelectorAll("figure.scatter").forEach(scatter);
  document.querySelectorAll(".prose").forEach(copyable);
  if (document.querySelector("[data-sample]")) {
    contents.append(make("div", { className: "finder" }, make("label", { htmlFor: "patient" }, "Highlight a patient"),
      search, answer));
  }
  window.addEventListener("resize", reachable);
  reachable();
})();
