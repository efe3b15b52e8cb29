"use strict";
// What the page does beside being read: sort, copy, filter, enlarge. Text only ever enters as textContent.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  function element(name, text, attributes = {}) {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  function button(text, act) {
    const made = element("button", text, { type: "button" });
    made.addEventListener("click", () => act(made));
    return made;
  }

  // --- sorting ---------------------------------------------------------------------------------------

  function sortBy(table, place, head) {
    const numeric = head.classList.contains("num");
    const was = head.getAttribute("aria-sort");
    // numbers start with the largest, names with the first
    const next = was ? (was === "ascending" ? "descending" : "ascending") : numeric ? "descending" : "ascending";
    const sign = next === "ascending" ? 1 : -1;
    const body = table.tBodies[0];
    const key = (row) => {
      const cell = row.cells[place];
      return numeric ? parseFloat(cell.dataset.key) : cell.dataset.text;
    };
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (!numeric) return sign * x.localeCompare(y, undefined, { numeric: true });
      if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y); // what has no number stands last, either way
      return sign * (x - y);
    });
    all("thead th", table).forEach((one) => one.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", next);
    body.append(...rows);
  }

  for (const table of all("table.data")) {
    all("thead th", table).forEach((head, place) => {
      const label = head.querySelector(".head");
      const sort = button(label.textContent, () => sortBy(table, place, head));
      sort.className = "sort";
      label.replaceChildren(sort);
    });
  }

  // --- what a number means ---------------------------------------------------------------------------

  // Hovered or focussed, a heading, a cell of its column, a badge or a term tells what it is; Esc ends it.
  const tip = document.querySelector("#tip");
  let anchor = null; // what it stands at
  let told = null; // what has the focus
  let ending = 0;

  for (const one of all("[title]")) {
    one.dataset.tip = one.title;
    one.removeAttribute("title");
    if (!one.querySelector("button")) one.tabIndex = 0;
  }

  const isCut = (part) => part.scrollWidth > part.clientWidth;

  /** What there is to tell about an element, as [name, meaning]; undefined: nothing. */
  function meaning(at) {
    const own = at.closest("[data-tip]");
    if (own) return [own.querySelector(".head")?.textContent.trim(), own.dataset.tip];
    const cell = at.closest("table.data tbody td");
    const head = cell?.closest("table").tHead.rows[0].cells[cell.cellIndex];
    if (head?.dataset.tip) return [head.querySelector(".head").textContent.trim(), head.dataset.tip];
    const file = at.closest(".file[data-name]") ?? at.closest(".enlarge")?.closest(".card").querySelector(".file");
    if (file && [...file.children].some(isCut)) return ["", file.dataset.name];
  }

  function untell() {
    clearTimeout(ending);
    if (tip.hidden) return;
    if (tip.matches(":popover-open")) tip.hidePopover();
    tip.hidden = true;
    told?.removeAttribute("aria-describedby");
    told = null;
  }

  function tell(at, focussed) {
    const [name, text] = meaning(at) ?? [];
    if (!text) return untell();
    untell();
    tip.replaceChildren(...(name ? [element("b", name), ` ${text}`] : [text]));
    tip.hidden = false;
    tip.showPopover?.();
    anchor = at.closest("[data-tip], td, .file, .enlarge");
    place();
    if (focussed) (told = at).setAttribute("aria-describedby", "tip");
  }

  function place() {
    if (tip.hidden) return;
    const box = anchor.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = tip;
    const left = Math.min(Math.max(8, box.left + box.width / 2 - width / 2), document.documentElement.clientWidth - width - 8);
    const below = box.bottom + 6 + height < innerHeight;
    tip.style.left = `${left}px`;
    tip.style.top = `${below ? box.bottom + 6 : Math.max(4, box.top - 6 - height)}px`;
  }

  document.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "mouse") return;
    clearTimeout(ending);
    if (!tip.contains(event.target) && !told) meaning(event.target) ? tell(event.target) : (ending = setTimeout(untell, 150));
  });
  document.addEventListener("focusin", (event) => tell(event.target, true));
  document.addEventListener("focusout", untell);
  document.addEventListener("keydown", (event) => event.key === "Escape" && untell());
  document.addEventListener("scroll", place, { capture: true, passive: true });

  // --- on paper --------------------------------------------------------------------------------------

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all("details:not([open])");
    closed.forEach((one) => (one.open = true));
  });
  addEventListener("afterprint", () => closed.forEach((one) => (one.open = false)));

  // --- copying ---------------------------------------------------------------------------------------

  const cellText = (cell) => (cell.dataset.text ?? cell.textContent).replace(/\s+/g, " ").trim();
  const linesOf = (table) => [...table.rows].map((row) => [...row.cells].map(cellText));

  function markdown(table) {
    const safe = (text) => text.replace(/[\\`*_|$#~[\]]/g, "\\$&").replace(/&/g, "&amp;").replace(/</g, "&lt;");
    const lines = linesOf(table).map((cells) => `| ${cells.map(safe).join(" | ")} |`);
    const rule = [...table.rows[0].cells].map((cell) => (cell.classList.contains("text") ? " --- " : " ---: "));
    return [lines[0], `|${rule.join("|")}|`, ...lines.slice(1)].join("\n") + "\n";
  }

  const LATEX = {
    "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "\\textless{}",
    ">": "\\textgreater{}", "|": "\\textbar{}", "−": "$-$", "±": "$\\pm$", "–": "--", "·": "$\\cdot$",
    "→": "$\\rightarrow$", "↓": "$\\downarrow$",
  };

  function latex(table) {
    const safe = (text) => text.replace(/[\\~^<>|−±–·→↓]|[&%$#_{}]/g, (found) => LATEX[found] ?? `\\${found}`);
    const lines = linesOf(table).map((cells) => `  {${cells.map(safe).join("} & {")}} \\\\`);
    const sides = [...table.rows[0].cells].map((cell) => (cell.classList.contains("text") ? "l" : "r")).join("");
    return [
      `% \\usepackage{booktabs}`, `\\begin{tabular}{${sides}}`, "  \\toprule", lines[0], "  \\midrule",
      ...lines.slice(1), "  \\bottomrule", "\\end{tabular}", "",
    ].join("\n");
  }

  async function copy(text, from) {
    const label = (from.dataset.label ??= from.textContent);
    let done = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = element("textarea", text);
      document.body.append(area);
      area.select();
      done = document.execCommand("copy");
      area.remove();
    }
    from.textContent = done ? "Copied" : "Copying is blocked here";
    setTimeout(() => (from.textContent = label), 1500);
  }

  for (const table of all("table[data-copy]")) {
    const tools = element("div", "", { class: "tools", role: "group", "aria-label": `Copy: ${table.dataset.copy}` });
    tools.append(
      button("Copy as Markdown", (from) => copy(markdown(table), from)),
      button("Copy as LaTeX", (from) => copy(latex(table), from)),
    );
    table.closest(".scroll").after(tools);
  }

  function svgText(figure) {
    const svg = figure.querySelector("svg").cloneNode(true);
    svg.setAttribute("style", "color:#1b1e23"); // outside this page nothing else gives the ink a colour
    return new XMLSerializer().serializeToString(svg);
  }

  for (const figure of all("figure[data-figure]")) {
    const name = figure.dataset.figure;
    const tools = element("div", "", { class: "tools", role: "group", "aria-label": `Figure ${name}` });
    tools.append(
      button("Copy SVG", (from) => copy(svgText(figure), from)),
      button("Download SVG", () => {
        const address = URL.createObjectURL(new Blob([svgText(figure)], { type: "image/svg+xml" }));
        element("a", "", { href: address, download: `${name}.svg` }).click();
        setTimeout(() => URL.revokeObjectURL(address), 1000);
      }),
    );
    figure.append(tools);
  }

  // --- pictures --------------------------------------------------------------------------------------

  const form = document.querySelector("form.filter");
  if (!form) return;
  const PAGE = 40;
  const cards = all(".grid .card");
  const more = document.querySelector(".more");
  const dialog = document.querySelector("dialog.photo");
  const texts = cards.map((card) => card.textContent.toLowerCase());
  let matching = cards;
  let limit = PAGE;
  let current = 0; // place among the matching ones

  let strip = null; // the one of the first screen that opened the dialog

  function opener(card, act) {
    const made = button("", act);
    const image = card.querySelector(":scope > img, :scope > .nophoto");
    const truth = card.querySelector(".truth");
    made.className = "enlarge";
    made.setAttribute("aria-label", `Enlarge: ${truth.textContent}, ${card.querySelector(".file").textContent}`);
    (image ?? truth).before(made);
    made.append(image ?? truth);
    return made;
  }

  for (const card of all(".strip .card")) {
    const same = cards.find((one) => one.dataset.number === card.dataset.number);
    opener(card, (made) => {
      form.reset();
      filter();
      open(matching.indexOf(same));
      strip = made;
    });
  }
  const openers = cards.map((card) => opener(card, () => open(matching.indexOf(card))));
  const openerOf = (card) => openers[cards.indexOf(card)];

  function show() {
    const shown = new Set(matching.slice(0, limit));
    cards.forEach((card) => (card.hidden = !shown.has(card)));
    openers.forEach((one) => (one.tabIndex = -1));
    current = Math.max(0, Math.min(current, matching.length - 1));
    if (matching.length) openerOf(matching[current]).tabIndex = 0;
    const count = form.querySelector(".count");
    count.textContent =
      `${matching.length} of ${cards.length} pictures` + (shown.size < matching.length ? `, ${shown.size} shown` : "");
    more.hidden = shown.size >= matching.length;
    more.firstElementChild.textContent = `Show ${Math.min(PAGE, matching.length - shown.size)} more`;
  }

  function filter() {
    const wanted = new FormData(form);
    const words = (wanted.get("text") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    matching = cards.filter(
      (card, place) =>
        (!wanted.get("flag") || card.dataset.flags.split(" ").includes(wanted.get("flag"))) &&
        (!wanted.get("truth") || card.dataset.truth === wanted.get("truth")) &&
        words.every((word) => texts[place].includes(word)),
    );
    limit = PAGE;
    current = 0;
    show();
  }

  function go(place) {
    current = Math.max(0, Math.min(place, matching.length - 1));
    while (current >= limit) limit += PAGE;
    show();
    openerOf(matching[current]).focus();
  }

  /** How many cards stand in a row. */
  function columns() {
    const tops = matching.slice(0, limit).map((card) => card.offsetTop);
    const next = tops.findIndex((top) => top !== tops[0]);
    return next < 0 ? tops.length : next;
  }

  function step(key, across) {
    return { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across }[key];
  }

  document.querySelector(".grid").addEventListener("keydown", (event) => {
    const by = step(event.key, columns());
    const place = matching.indexOf(event.target.closest(".card"));
    const target = { Home: 0, End: matching.length - 1 }[event.key] ?? (by === undefined ? undefined : place + by);
    if (target === undefined || place < 0) return;
    event.preventDefault();
    if (target >= 0 && target < matching.length) go(target);
  });

  function open(place) {
    current = place;
    const card = matching[place];
    const parts = all(".enlarge > img, .enlarge > .nophoto, .body", card).map((part) => part.cloneNode(true));
    const truth = card.querySelector(".enlarge > .truth");
    if (truth) parts[0].prepend(truth.cloneNode(true)); // a card without photograph
    all(".enlarge", parts[parts.length - 1]).forEach((one) => one.remove());
    const keys = element("div", "", { class: "keys" });
    keys.append(element("span", `${place + 1} of ${matching.length} · ← → other pictures`), button("Close (Esc)", () => dialog.close()));
    dialog.replaceChildren(...parts, keys);
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    keys.querySelector("button").focus();
  }

  dialog.addEventListener("keydown", (event) => {
    const by = step(event.key, 1);
    if (by === undefined) return;
    event.preventDefault();
    if (current + by >= 0 && current + by < matching.length) open(current + by);
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    strip ? strip.focus() : go(current);
    strip = null;
  });

  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  more.firstElementChild.addEventListener("click", () => {
    const first = limit;
    limit += PAGE;
    show();
    openerOf(matching[first]).focus();
  });
  form.hidden = false;
  filter();
})();
