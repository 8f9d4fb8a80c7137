"use strict";
/* The browser of pairs. What is data goes into the page as text nodes and properties, never as markup.
   The rows of the data are described in reeval/page/records.py. */
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const { aspects, types, judges } = data;
  const SIGNIFICANT = 1, FAILED = -1, NONE = -2;
  const [ID, REFERENCE_ID, GOLD, IDENTICAL, ERRORS, JUDGED, LEVEL, REFERENCE, CANDIDATE] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
  const [VERDICT, PROBABILITY, SCORE, STATUS, FOUND, ANSWERS, RAW] = [0, 1, 2, 3, 4, 5, 6];
  const pairs = data.pairs, n = pairs.length, J = judges.length;

  /* ---- What a pair's errors and verdicts say ---- */

  const cellOf = (error) => (typeof error === "number" ? error : error[0]);
  const severityOf = (cell) => ["insignificant", "significant", "ungraded"][cell % 3];
  const typeOf = (cell) => types[Math.floor(cell / 3) % types.length];
  const aspectOf = (cell) => aspects[Math.floor(cell / 3 / types.length)];
  const rightness = (pair, judged) =>
    judged[VERDICT] === FAILED ? "failed" : judged[VERDICT] === NONE || pair[GOLD] === NONE ? "none" : judged[VERDICT] === pair[GOLD] ? "right" : "wrong";

  const disagreement = new Float64Array(n), idRank = new Int32Array(n);
  const divided = new Uint8Array(n);
  for (let i = 0; i < n; i++) {
    let yes = 0, no = 0, low = 1, high = 0;
    for (const judged of pairs[i][JUDGED]) {
      if (judged[VERDICT] === SIGNIFICANT) yes++;
      else if (judged[VERDICT] === 0) no++;
      const p = judged[PROBABILITY];
      if (p !== null) { low = Math.min(low, p); high = Math.max(high, p); }
    }
    divided[i] = yes && no ? 1 : 0;
    // How evenly votes are split; among equals, how far probabilities lie apart.
    disagreement[i] = (yes + no ? Math.min(yes, no) / (yes + no) : 0) + Math.max(0, high - low) / 1000;
  }
  pairs.map((_, i) => i)
    .sort((a, b) => (pairs[a][ID] < pairs[b][ID] ? -1 : pairs[a][ID] > pairs[b][ID] ? 1 : a - b))
    .forEach((i, rank) => { idRank[i] = rank; });
  const indexOfId = new Map(pairs.map((pair, i) => [pair[ID], i]));

  let haystacks = null;
  function haystack(i) {
    if (haystacks === null) {
      haystacks = pairs.map((p) =>
        (data.with_text ? [p[ID], p[REFERENCE_ID], p[REFERENCE], p[CANDIDATE]].join("\n") : p[ID] + "\n" + p[REFERENCE_ID]).toLowerCase());
    }
    return haystacks[i];
  }

  /* ---- State: filters, the pair, the evaluator whose spans are boxed; all of it stands in the address ---- */

  const FILTERS = ["q", "judge", "verdict", "gold", "aspect", "type", "severity", "where", "identical", "sort"];
  const DEFAULTS = { where: "gold" };
  const state = { pair: -1, shown: J ? 0 : -1 };
  let order = [];
  const keyOf = (judge) => `${judge.name}~${judge.mode}`;

  function filters() {
    const f = {};
    for (const name of FILTERS) f[name] = $(name).value;
    f.disagree = $("disagree").checked;
    f.column = judges.findIndex((judge) => keyOf(judge) === f.judge);
    f.terms = f.q.toLowerCase().split(/\s+/).filter(Boolean);
    f.cells = f.aspect || f.type || f.severity ? cellsOf(f) : null;
    return f;
  }

  function cellsOf(f) {
    const wanted = new Uint8Array(aspects.length * types.length * 3);
    for (let cell = 0; cell < wanted.length; cell++) {
      wanted[cell] = (!f.aspect || aspectOf(cell) === f.aspect) && (!f.type || typeOf(cell) === f.type) && (!f.severity || severityOf(cell) === f.severity) ? 1 : 0;
    }
    return wanted;
  }

  const anyWanted = (errors, cells) => errors !== null && errors.some((error) => cells[cellOf(error)]);

  function judgedAs(pair, judged, verdict) {
    const is = rightness(pair, judged);
    if (verdict === "missed") return is === "wrong" && pair[GOLD] === 1;
    if (verdict === "over") return is === "wrong" && pair[GOLD] === 0;
    return is === verdict;
  }

  const GOLDS = { significant: 1, insignificant: 0, unknown: NONE };

  function keeps(f, i) {
    const pair = pairs[i];
    if (f.gold && pair[GOLD] !== GOLDS[f.gold]) return false;
    if (f.identical && (f.identical === "only") !== (pair[IDENTICAL] === 1)) return false;
    if (f.disagree && !divided[i]) return false;
    const said = f.column >= 0 ? [pair[JUDGED][f.column]] : pair[JUDGED];
    if (f.verdict && !said.some((judged) => judgedAs(pair, judged, f.verdict))) return false;
    if (f.cells) {
      const inGold = f.where !== "verdict" && anyWanted(pair[ERRORS], f.cells);
      const inVerdict = f.where !== "gold" && said.some((judged) => anyWanted(judged[FOUND], f.cells));
      if (!inGold && !inVerdict) return false;
    }
    return f.terms.every((term) => haystack(i).includes(term));
  }

  function probability(i, column) {
    if (column >= 0) return pairs[i][JUDGED][column][PROBABILITY];
    const known = pairs[i][JUDGED].map((judged) => judged[PROBABILITY]).filter((p) => p !== null);
    return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
  }

  function sorted(found, f) {
    if (f.sort === "id") return found.sort((a, b) => idRank[a] - idRank[b]);
    if (f.sort === "disagreement") return found.sort((a, b) => disagreement[b] - disagreement[a] || a - b);
    if (f.sort === "high" || f.sort === "low") {
      const sign = f.sort === "high" ? -1 : 1;
      const key = new Map(found.map((i) => [i, probability(i, f.column)]));
      return found.sort((a, b) => {
        const x = key.get(a), y = key.get(b);
        if (x === null || y === null) return (x === null) - (y === null) || a - b; // the unknown last
        return sign * (x - y) || a - b;
      });
    }
    return found;
  }

  function refilter() {
    const f = filters(), found = [];
    for (let i = 0; i < n; i++) if (keeps(f, i)) found.push(i);
    order = sorted(found, f);
    if (f.column >= 0 && f.column !== filtered) state.shown = f.column;
    filtered = f.column;
    count(f);
    if (!order.includes(state.pair)) state.pair = order.length ? order[0] : -1;
    $("list").scrollTop = Math.max(0, order.indexOf(state.pair) * rowHeight - $("list").clientHeight / 3);
    drawRows(true);
    drawDetail();
    remember();
  }
  let filtered = -1;

  function count(f) {
    let text = `${order.length.toLocaleString("en")} of ${n.toLocaleString("en")} pairs`;
    if (f.column >= 0 && !f.verdict && order.length) {
      const right = order.filter((i) => rightness(pairs[i], pairs[i][JUDGED][f.column]) === "right").length;
      text += `, ${judges[f.column].label} right in ${right.toLocaleString("en")}`;
    }
    $("count").textContent = text;
  }

  function remember() {
    const parts = new URLSearchParams();
    for (const name of FILTERS) if ($(name).value && $(name).value !== DEFAULTS[name]) parts.set(name, $(name).value);
    if ($("disagree").checked) parts.set("disagree", "1");
    if (state.shown > 0) parts.set("shown", keyOf(judges[state.shown]));
    if (state.pair >= 0) parts.set("pair", pairs[state.pair][ID]);
    const link = $("permalink");
    if (link) link.href = "#" + parts;
    if (!started) return;
    try {
      history.replaceState(null, "", "#" + parts);
    } catch { /* some browsers allow but so many a minute: the next one takes it along */ }
  }
  let started = false; // until someone looks at pairs the address stays as it came

  function restore() {
    const parts = new URLSearchParams(location.hash.slice(1));
    for (const name of FILTERS) {
      const wanted = parts.get(name) ?? DEFAULTS[name] ?? "";
      $(name).value = wanted;
      if ($(name).value !== wanted) $(name).value = DEFAULTS[name] ?? ""; // an option that is not there
    }
    $("disagree").checked = parts.get("disagree") === "1";
    state.pair = indexOfId.get(parts.get("pair")) ?? -1;
    const wanted = judges.findIndex((judge) => keyOf(judge) === $("judge").value);
    const shown = judges.findIndex((judge) => keyOf(judge) === parts.get("shown"));
    state.shown = shown >= 0 ? shown : wanted >= 0 ? wanted : J ? 0 : -1;
    filtered = wanted;
    refilter();
  }
  const narrow = matchMedia("(max-width: 46rem)"); // there the pair stands beneath the list
  const toPairs = () => $(narrow.matches && state.pair >= 0 ? "detail" : "browser").scrollIntoView({ block: "start", behavior: "instant" });
  const holdsState = () => location.hash.includes("=");

  /* ---- Elements ---- */

  function el(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "class") made.className = value;
      else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }

  /* ---- The list: only what is in sight has rows ---- */

  const list = $("list"), rows = $("rows");
  const rowHeight = 46, MARKS = { right: "✓", wrong: "✗", failed: "?", none: "·" };
  let drawn = [-1, -1];

  function drawRows(anew) {
    const first = Math.max(0, Math.floor(list.scrollTop / rowHeight) - 6);
    const last = Math.min(order.length, Math.ceil((list.scrollTop + list.clientHeight) / rowHeight) + 6);
    $("spacer").style.height = `${order.length * rowHeight}px`;
    if (!anew && first === drawn[0] && last === drawn[1]) return;
    drawn = [first, last];
    rows.style.transform = `translateY(${first * rowHeight}px)`;
    const made = [];
    for (let k = first; k < last; k++) made.push(row(order[k], k));
    if (!order.length) made.push(el("p", { class: "empty" }, "No pair is like that. ", el("button", { type: "button", onclick: reset }, "Reset the filters")));
    rows.replaceChildren(...made);
    const selected = order.indexOf(state.pair);
    if (selected >= first && selected < last) list.setAttribute("aria-activedescendant", `row-${selected}`);
    else list.removeAttribute("aria-activedescendant");
  }

  function row(i, k) {
    const pair = pairs[i];
    const marks = el("span", { class: "marks" });
    pair[JUDGED].forEach((judged, j) => {
      const is = rightness(pair, judged), words = is === "none" ? WORDS[judged[VERDICT]] : RIGHTNESS[is];
      marks.append(el("span", { class: `mark-of ${is}${j === state.shown ? " shown" : ""}`, title: `${judges[j].label}: ${words}`, role: "img", "aria-label": `${judges[j].label} ${words}` }, MARKS[is]));
    });
    const errors = pair[ERRORS] === null ? (pair[GOLD] === NONE ? "" : "graded as a whole") : pair[IDENTICAL] ? "identical" : `${pair[ERRORS].length || "no"} error${pair[ERRORS].length === 1 ? "" : "s"}`;
    const about = [errors, levelOf(pair)].filter(Boolean).map((words) => ` · ${words}`).join("");
    return el("div", { class: "row", role: "option", id: `row-${k}`, "aria-selected": String(i === state.pair), "aria-posinset": k + 1, "aria-setsize": order.length, "data-i": i },
      el("span", { class: "id", title: pair[ID] }, pair[ID]),
      el("span", { class: "about" }, el("span", { class: `severity ${CLASSES[pair[GOLD]]}` }, goldWord(pair)), about),
      marks);
  }
  const WORDS = { 1: "significant", 0: "not significant", [FAILED]: "not parsed", [NONE]: "no verdict" };
  const CLASSES = { 1: "significant", 0: "insignificant", [FAILED]: "failed", [NONE]: "failed" };
  const RIGHTNESS = { right: "right", wrong: "wrong", failed: "not parsed" };
  const goldWord = (pair) => (pair[GOLD] === NONE ? "not graded" : WORDS[pair[GOLD]]);
  const levelOf = (pair) => (pair[LEVEL] === null ? "" : `level ${pair[LEVEL]}`);

  function select(i, { focus = false } = {}) {
    state.pair = i;
    started = true;
    const at = order.indexOf(i), top = at * rowHeight;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + rowHeight > list.scrollTop + list.clientHeight) list.scrollTop = top + rowHeight - list.clientHeight;
    drawRows(true);
    drawDetail();
    remember();
    if (focus) list.focus({ preventScroll: true });
  }

  function move(by) {
    if (!order.length) return;
    const at = order.indexOf(state.pair);
    select(order[Math.min(order.length - 1, Math.max(0, at + by))]);
  }

  list.addEventListener("scroll", () => requestAnimationFrame(() => drawRows(false)), { passive: true });
  list.addEventListener("click", (event) => {
    const hit = event.target.closest(".row");
    if (hit) {
      select(Number(hit.dataset.i));
      if (narrow.matches) detail.scrollIntoView({ block: "start", behavior: calm() });
    }
  });
  new ResizeObserver(() => drawRows(false)).observe(list);

  /* ---- One pair ---- */

  const detail = $("detail");
  let held = null; // the error whose highlight stays, as "gold/0" or "2/1"

  function drawDetail() {
    held = null;
    if (state.pair < 0) {
      detail.replaceChildren(el("p", { class: "empty" }, "No pair."));
      return;
    }
    const pair = pairs[state.pair], at = order.indexOf(state.pair);
    const sources = sourcesOf(pair);
    const head = el("header", { class: "pair-head" },
      el("div", {}, el("h3", {}, pair[ID]), el("p", { class: "about" }, `reference ${pair[REFERENCE_ID]} · ${(at + 1).toLocaleString("en")} of ${order.length.toLocaleString("en")}${pair[IDENTICAL] ? " · identical but for white space" : ""}${pair[LEVEL] === null ? "" : ` · ${levelOf(pair)}`}`)),
      el("div", { class: "pair-buttons" },
        el("button", { type: "button", onclick: () => move(-1), "aria-label": "Previous pair", title: "Previous (k)" }, "←"),
        el("button", { type: "button", onclick: () => move(1), "aria-label": "Next pair", title: "Next (j)" }, "→"),
        el("a", { id: "permalink", href: "#", onclick: copyLink, title: "Copies a link to this pair with these filters" }, "Copy link")));
    const reports = data.with_text ? [legend(), el("div", { class: "reports" }, report("Reference", "reference", pair[REFERENCE], sources), report("Candidate", "candidate", pair[CANDIDATE], sources))]
      : [el("p", { class: "note absent" }, "The text of reports is not in this file.")];
    detail.replaceChildren(head, ...reports, el("div", { class: "verdicts" }, ...sources.map((source) => card(pair, source))));
    detail.scrollTop = 0;
    remember();
  }

  /* Who names errors: gold first. An error's `at` says where its spans stand in the reports, null where nowhere. */
  function sourcesOf(pair) {
    const all = [{ key: "gold", judge: -1, judged: null, errors: pair[ERRORS] }];
    pair[JUDGED].forEach((judged, j) => all.push({ key: String(j), judge: j, judged, errors: judged[FOUND] }));
    for (const source of all) {
      const used = { reference: [], candidate: [] };
      source.rows = (source.errors || []).map((error, e) => {
        const cell = cellOf(error);
        const made = { key: `${source.key}/${e}`, number: e + 1, type: typeOf(cell), aspect: aspectOf(cell), severity: severityOf(cell), spans: null };
        if (data.with_text) {
          made.spans = { reference: error[1], candidate: error[2] };
          made.explanation = error[3];
          made.at = {
            reference: locate(pair[REFERENCE], error[1], used.reference),
            candidate: locate(pair[CANDIDATE], error[2], used.candidate),
          };
        }
        return made;
      });
    }
    return all;
  }

  /* The first occurrence that is not taken yet; the first of all where all are, as by two errors in one place. */
  function locate(text, span, used) {
    if (!span) return null;
    let from = text.indexOf(span);
    if (from < 0) return null;
    const first = from;
    while (from >= 0 && used.includes(from + ":" + span)) from = text.indexOf(span, from + 1);
    if (from < 0) from = first;
    used.push(from + ":" + span);
    return [from, from + span.length];
  }

  function legend() {
    const choose = el("select", { id: "shown", "aria-label": "Evaluator whose spans are boxed", onchange: (event) => { show(Number(event.target.value)); $("shown").focus({ preventScroll: true }); } },
      ...judges.map((judge, j) => { const option = el("option", { value: j }, judge.label); option.selected = j === state.shown; return option; }));
    return el("p", { class: "legend spans" },
      "Gold: ", el("span", { class: "seg gold-significant" }, "significant"), " ", el("span", { class: "seg gold-insignificant" }, "insignificant"),
      J ? el("span", { class: "boxed" }, choose, el("span", { class: "seg box-significant" }, "significant"), " ", el("span", { class: "seg box-insignificant" }, "insignificant")) : null);
  }

  function show(j) {
    state.shown = j;
    started = true;
    drawDetail();
    drawRows(true);
  }

  /* The text cut at every end of a span, so that overlapping ones are all there; each piece knows its errors. */
  function report(title, side, text, sources) {
    const marks = [];
    for (const source of sources) {
      for (const error of source.rows) if (error.at[side]) marks.push({ source, error, from: error.at[side][0], to: error.at[side][1] });
    }
    const ends = [...new Set([0, text.length, ...marks.flatMap((mark) => [mark.from, mark.to])])].sort((a, b) => a - b);
    const body = el("p", { class: "text", lang: "en" });
    for (let k = 0; k + 1 < ends.length; k++) {
      const piece = text.slice(ends[k], ends[k + 1]);
      // The shortest first: that is the one a pointer means.
      const here = marks.filter((mark) => mark.from <= ends[k] && mark.to >= ends[k + 1]).sort((a, b) => a.to - a.from - (b.to - b.from));
      body.append(here.length ? segment(piece, here, ends[k]) : piece);
    }
    return el("section", { class: "report", "aria-label": title, "data-side": side }, el("h4", {}, title), body);
  }

  function segment(piece, here, from) {
    const visible = here.filter((mark) => mark.source.judge < 0 || mark.source.judge === state.shown);
    const classes = visible.map((mark) => `${mark.source.judge < 0 ? "gold" : "box"}-${mark.error.severity}`);
    const said = visible.map((mark) => `${mark.source.judge < 0 ? "gold" : judges[mark.source.judge].label}: ${mark.error.type}, ${mark.error.aspect}, ${mark.error.severity}`);
    const starts = visible.some((mark) => mark.from === from);
    return el("span", {
      class: ["seg", ...new Set(classes)].join(" "),
      "data-errors": here.map((mark) => mark.error.key).join(" "),
      "data-visible": visible.map((mark) => mark.error.key).join(" "),
      title: said.length ? said.join("\n") : null,
      tabindex: starts ? 0 : null, role: starts ? "button" : null, "aria-label": starts ? `${piece} (${said.join("; ")})` : null,
    }, piece);
  }

  function card(pair, source) {
    const gold = source.judge < 0, judged = source.judged;
    const is = gold ? null : rightness(pair, judged);
    const verdict = gold ? pair[GOLD] : judged[VERDICT];
    const title = gold ? "Gold" : judges[source.judge].label;
    const heading = el("h4", {}, gold || !data.with_text ? title : el("button", { type: "button", class: "plain", "aria-pressed": String(source.judge === state.shown), title: "Box its spans in the reports", onclick: () => show(source.judge) }, title));
    const badge = el("span", { class: `severity ${CLASSES[verdict]}` }, gold ? goldWord(pair) : WORDS[verdict]);
    const judgement = el("p", { class: "judgement" }, badge, gold || is === "none" ? null : el("span", { class: `mark-of ${is}` }, `${MARKS[is]} ${RIGHTNESS[is]}`), gold ? null : chance(judged));
    const parts = [el("header", {}, heading, judgement)];
    if (!gold && verdict === FAILED && judged[STATUS]) parts.push(el("p", { class: "note" }, judged[STATUS]));
    else if (!gold && judged[STATUS] === "repaired") parts.push(el("p", { class: "note" }, "read by a tolerant reader"));
    if (source.errors === null) parts.push(el("p", { class: "note" }, gold ? (verdict === NONE ? levelOf(pair) && `Of ${levelOf(pair)} among the candidates of its reference, higher being worse.` : "Graded as a whole: no errors are listed.") : verdict === FAILED ? "" : "Names no errors."));
    else if (!source.errors.length) parts.push(el("p", { class: "note" }, "No errors."));
    else parts.push(el("ol", { class: "errors" }, ...source.rows.map((error) => el("li", {}, errorRow(pair, source, error)))));
    const raw = !gold && data.with_text ? judged[RAW] : [];
    if (raw.length) parts.push(el("details", {}, el("summary", {}, raw.length > 1 ? "Raw answers" : "Raw answer"), ...raw.map((text) => el("pre", { tabindex: 0 }, text))));
    return el("section", { class: `card${gold ? " gold" : ""}${source.judge === state.shown ? " shown" : ""}`, "aria-label": title, "data-source": source.key }, ...parts);
  }

  function chance(judged) {
    if (judged[PROBABILITY] !== null) {
      const meter = el("span", { class: "meter", "aria-hidden": "true" }, el("span", {}));
      meter.firstChild.style.width = `${100 * judged[PROBABILITY]}%`;
      return el("span", { class: "chance", title: "Probability that the pair is significant" }, meter, `p ${judged[PROBABILITY].toFixed(2)}`);
    }
    return judged[SCORE] === null ? null : el("span", { class: "chance", title: "Score; higher is a better candidate" }, `score ${judged[SCORE]}`);
  }

  function errorRow(pair, source, error) {
    const facts = el("span", { class: "what" }, el("span", { class: `severity ${error.severity}` }, error.severity), ` ${error.type} · ${error.aspect}`, note(pair, source, error));
    const quotes = error.spans ? el("span", { class: "quotes" }, quote("reference", error), el("span", { class: "arrow", "aria-label": "became" }, " → "), quote("candidate", error)) : null;
    const explanation = error.explanation ? el("span", { class: "explanation" }, error.explanation) : null;
    return el(data.with_text ? "button" : "div", { type: data.with_text ? "button" : null, class: "error", "data-errors": error.key, "aria-pressed": data.with_text ? "false" : null }, facts, quotes, explanation);
  }

  function note(pair, source, error) {
    if (source.judge < 0) {
      const by = pair[JUDGED].filter((judged) => judged[FOUND] !== null);
      const found = by.filter((judged) => judged[ANSWERS][error.number - 1] >= 0).length;
      return by.length ? el("span", { class: "answer" }, `found by ${found} of ${by.length}`) : null;
    }
    if (pair[ERRORS] === null) return null;
    const answers = source.judged[ANSWERS].indexOf(error.number - 1);
    return el("span", { class: "answer" }, answers >= 0 ? `is gold ${answers + 1}` : "not in gold");
  }

  function quote(side, error) {
    const span = error.spans[side];
    if (!span) return el("span", { class: "nothing" }, "nothing");
    const quoted = el("q", {}, span);
    return error.at[side] ? quoted : el("span", { class: "astray" }, quoted, el("small", {}, "not in the report"));
  }

  /* ---- Links between a span, its counterpart and its error ---- */

  function highlight(key) {
    for (const part of detail.querySelectorAll("[data-errors]")) {
      const on = key !== null && part.dataset.errors.split(" ").includes(key);
      part.classList.toggle("active", on);
      if (part.classList.contains("error")) part.setAttribute("aria-pressed", String(on && held === key));
    }
  }

  /* Of a place with several errors, the one after that which is held now: clicking again goes round. */
  function meant(part, next) {
    const keys = (part.dataset.visible || part.dataset.errors).split(" ").filter(Boolean);
    if (!keys.length) return null;
    const now = keys.indexOf(held);
    return next ? (now + 1 < keys.length ? keys[now + 1] : now >= 0 ? null : keys[0]) : now >= 0 ? held : keys[0];
  }

  const linked = (event) => (event.target instanceof Element ? event.target.closest("[data-errors]") : null);
  detail.addEventListener("mouseover", (event) => { if (data.with_text) highlight(linked(event) ? meant(linked(event), false) : held); });
  detail.addEventListener("mouseleave", () => highlight(held));
  detail.addEventListener("focusin", (event) => { if (data.with_text && linked(event)) highlight(meant(linked(event), false)); });
  detail.addEventListener("focusout", () => highlight(held));
  detail.addEventListener("click", (event) => hold(linked(event)));
  detail.addEventListener("keydown", (event) => {
    const part = linked(event);
    if (part && part.getAttribute("role") === "button" && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      hold(part);
    }
  });

  function hold(part) {
    if (!part || !data.with_text) return;
    held = meant(part, true);
    highlight(held);
    if (held === null) return;
    // The other end comes into sight: of a span its error, of an error its first span.
    const others = [...detail.querySelectorAll(".active")].filter((other) => other !== part && other.classList.contains("error") !== part.classList.contains("error"));
    if (others.length) others[0].scrollIntoView({ block: "nearest", behavior: calm() });
  }
  const calm = () => (matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth");

  async function copyLink(event) {
    event.preventDefault();
    started = true;
    remember();
    const link = event.currentTarget;
    try {
      await navigator.clipboard.writeText(location.href);
      link.textContent = "Copied";
    } catch {
      link.textContent = "In the address bar";
    }
    setTimeout(() => { link.textContent = "Copy link"; }, 1600);
  }

  /* ---- Keys and controls ---- */

  function reset() {
    for (const name of FILTERS) $(name).value = DEFAULTS[name] ?? "";
    $("disagree").checked = false;
    started = true;
    refilter();
  }

  const help = $("help");
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    const typing = event.target.matches("input[type=search], select, textarea");
    if (event.key === "Escape") {
      if (held !== null) { held = null; highlight(null); }
      if (typing) list.focus({ preventScroll: true });
      return;
    }
    if (typing) return;
    const inList = document.activeElement === list;
    const page = Math.max(1, Math.floor(list.clientHeight / rowHeight) - 1);
    const moves = { j: 1, k: -1, ...(inList ? { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -n, End: n } : {}) };
    if (event.key in moves) {
      move(moves[event.key]);
      if (!inBrowser()) $("browser").scrollIntoView({ block: "start" });
    } else if (event.key === "/") {
      $("browser").scrollIntoView({ block: "nearest" });
      $("q").focus();
      $("q").select();
    } else if (event.key === "?") help.showModal();
    else if ((event.key === "[" || event.key === "]") && J) show((state.shown + (event.key === "]" ? 1 : J - 1)) % J);
    else return;
    event.preventDefault();
  });

  function inBrowser() {
    const box = $("browser").getBoundingClientRect();
    return box.top < innerHeight / 2 && box.bottom > innerHeight / 2;
  }

  for (const [id, names] of [["aspect", aspects], ["type", types]]) {
    const occur = names.filter((name) => name !== "other" || pairs.some((pair) => pair[JUDGED].some((judged) => (judged[FOUND] || []).some((error) => (id === "aspect" ? aspectOf : typeOf)(cellOf(error)) === "other"))));
    $(id).append(...occur.map((name) => el("option", { value: name }, name)));
  }
  $("judge").append(el("option", { value: "" }, "any"), ...judges.map((judge) => el("option", { value: keyOf(judge) }, judge.label)));
  for (const name of [...FILTERS, "disagree"]) {
    $(name).addEventListener(name === "q" ? "input" : "change", () => { started = true; refilter(); });
  }
  document.querySelector(".filters").addEventListener("submit", (event) => event.preventDefault());
  $("reset").addEventListener("click", reset);
  $("more").addEventListener("click", () => {
    const open = $("more").getAttribute("aria-expanded") !== "true";
    $("more").setAttribute("aria-expanded", String(open));
    document.querySelector(".filters").classList.toggle("open", open);
  });
  $("help-button").addEventListener("click", () => help.showModal());
  addEventListener("hashchange", () => { if (holdsState()) { started = true; restore(); toPairs(); } });

  $("browser").hidden = false;
  started = holdsState();
  restore();
  if (started) toPairs();
  (window.requestIdleCallback || setTimeout)(() => { if (n) haystack(0); });
})();
