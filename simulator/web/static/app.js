"use strict";
// The page of `trainsim serve`. What the controls show is a question; the server answers it twice: a preview on a coarse
// lattice at once, the whole search after. Only touched controls are sent, over the text of the scenario.

(() => {
  const $ = (id) => document.getElementById(id);
  const token = document.querySelector('meta[name="trainsim-token"]').content;
  const client = crypto.randomUUID ? crypto.randomUUID() : String(Math.random()).slice(2);
  const PAUSE_MS = 250; // of quiet, before the whole search begins
  const MOST = 100000; // characters of a scenario

  const STEPS = 1000;
  const LIMITS = [
    { key: "time_days", title: "Time", unit: "days", low: 0.1, high: 1000, scale: 1, start: 10, off: "no limit", at: "limits" },
    { key: "cost_usd", title: "Money", unit: "$", low: 1e3, high: 1e9, scale: 1, start: 1e5, off: "no limit", at: "limits" },
    { key: "tokens", title: "Tokens to train on", unit: "billion", low: 1e8, high: 1e14, scale: 1e9, start: 3e11, off: "as the limits allow", at: "data" },
    { key: "unique_tokens", title: "Distinct tokens at hand", unit: "billion", low: 1e9, high: 1e14, scale: 1e9, start: 4e11, off: "more than enough", at: "data" },
    { key: "serving_tokens", title: "Tokens to serve after training", unit: "billion", low: 1e9, high: 1e17, scale: 1e9, start: 1e13, off: "not counted", at: "data" },
  ];

  const state = { base: "", changes: {}, controls: null, yaml: "", accelerators: [] };
  let flying = false, waiting = false, timer = 0, fullAbort = null, moved = 0;

  // --- numbers ---------------------------------------------------------------------------------------------------

  const round = (value, digits) => Number(value.toPrecision(digits));
  const toSlider = (c, value) => Math.round(STEPS * Math.log(value / c.low) / Math.log(c.high / c.low));
  const fromSlider = (c, place) => round(c.low * Math.pow(c.high / c.low, place / STEPS), 3);
  const plain = (value) => value.toLocaleString("en-US", { maximumSignificantDigits: 4 });

  function words(c, value) {
    if (c.unit === "$") return "$" + plain(value);
    if (c.unit === "days") return plain(value) + " days";
    for (const [size, name] of [[1e15, "quadrillion"], [1e12, "trillion"], [1e9, "billion"], [1e6, "million"]])
      if (value >= size) return plain(value / size) + " " + name + " tokens";
    return plain(value) + " tokens";
  }

  function make(tag, attributes = {}, ...inside) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name in made && typeof value === "boolean") made[name] = value;
      else made.setAttribute(name, value);
    }
    made.append(...inside);
    return made;
  }

  // --- controls --------------------------------------------------------------------------------------------------

  function buildLimit(c) {
    const slider = make("input", { type: "range", min: 0, max: STEPS, step: 5, "aria-label": c.title, id: c.key + "-slider" });
    const number = make("input", { type: "number", min: 0, step: "any", id: c.key, "aria-label": `${c.title} [${c.unit}]` });
    const off = make("input", { type: "checkbox", id: c.key + "-off" });
    const set = make("fieldset", { id: c.key + "-set" }, make("legend", {}, c.title), slider,
      make("div", { class: "value" }, number, make("span", { class: "unit", "aria-hidden": "true" }, c.unit),
        make("label", { class: "off small" }, off, " " + c.off)));
    Object.assign(c, { slider, number, offBox: off, set });
    slider.addEventListener("input", () => { showLimit(c, fromSlider(c, Number(slider.value)), slider); touch(c.key, c.value); });
    number.addEventListener("input", () => {
      const value = number.valueAsNumber * c.scale;
      if (value > 0 && Number.isFinite(value)) { showLimit(c, value, number); touch(c.key, value); }
    });
    off.addEventListener("change", () => {
      showLimit(c, off.checked ? null : c.value || c.start, off);
      touch(c.key, off.checked ? null : c.value);
    });
    $(c.at).append(set);
  }

  function showLimit(c, value, source) {
    if (value !== null) c.value = value;
    const shown = c.value || c.start, on = value !== null;
    if (source !== c.slider) c.slider.value = Math.min(STEPS, Math.max(0, toSlider(c, shown)));
    if (source !== c.number) c.number.value = on ? round(shown / c.scale, 6) : "";
    if (source !== c.offBox) c.offBox.checked = !on;
    c.slider.disabled = c.number.disabled = !on;
    c.slider.setAttribute("aria-valuetext", on ? words(c, shown) : c.off);
  }

  function buildRow(one, place) {
    const row = { ...one.row, ...one.sent };
    const select = make("select", { id: `accelerator-${place}` });
    if (!state.accelerators.includes(row.accelerator)) select.append(make("option", { value: "" }, `${row.label} (of the file)`));
    for (const name of state.accelerators) select.append(make("option", { value: name }, name));
    select.value = row.accelerator && state.accelerators.includes(row.accelerator) ? row.accelerator : "";
    const slider = make("input", { type: "range", min: 0, max: 15, step: 1, id: `count-slider-${place}`, "aria-label": `Accelerators of row ${place + 1}, powers of two` });
    const count = make("input", { type: "number", min: 1, max: 9999999, step: 1, id: `count-${place}` });
    if (!row.n_gpus) count.placeholder = "open";
    else { count.value = row.n_gpus; slider.value = Math.round(Math.log2(row.n_gpus)); }
    slider.setAttribute("aria-valuetext", !row.n_gpus ? "the planner chooses" : `${row.n_gpus} accelerators`);
    const price = make("input", { type: "number", min: 0, step: "any", id: `price-${place}` });
    price.placeholder = "list";
    if (row.usd_per_gpu_hour) price.value = round(row.usd_per_gpu_hour, 6);
    const sent = one.sent;
    select.addEventListener("change", () => {
      if (!select.value) return;
      Object.assign(sent, { accelerator: select.value });
      delete sent.usd_per_gpu_hour; // the price of another accelerator
      price.value = "";
      touchRows();
    });
    const counted = (n) => {
      sent.n_gpus = n;
      slider.setAttribute("aria-valuetext", `${n} accelerators`);
      touchRows();
    };
    slider.addEventListener("input", () => { count.value = 2 ** Number(slider.value); counted(Number(count.value)); });
    count.addEventListener("input", () => {
      const n = count.valueAsNumber;
      if (n >= 1 && Number.isInteger(n)) { slider.value = Math.round(Math.log2(n)); counted(n); }
    });
    price.addEventListener("input", () => {
      if (price.valueAsNumber > 0) { sent.usd_per_gpu_hour = price.valueAsNumber; touchRows(); }
    });
    const line = make("div", { class: "row" },
      make("label", { for: `accelerator-${place}`, class: "small" }, "Accelerator"), select, slider,
      make("div", { class: "value" }, make("label", { for: `count-${place}`, class: "small" }, "Number"), count));
    line.append(make("div", { class: "value" }, make("label", { for: `price-${place}`, class: "small" }, "Price [$/h each]"), price));
    if (place > 0) {
      const remove = make("button", { type: "button" }, "Remove");
      remove.setAttribute("aria-label", `Remove row ${place + 1}`);
      remove.addEventListener("click", () => { rows.splice(place, 1); drawRows(); touchRows(); $("add").focus(); });
      line.lastChild.append(remove);
    }
    return line;
  }

  // A row knows the entry of the file that it began as, and what was changed in it since.
  let rows = [];
  function drawRows() {
    $("rows").replaceChildren(...rows.map(buildRow));
    $("add").hidden = rows.length >= 6;
  }

  function touchRows() {
    state.changes.hardware = rows.map((one) => (one.entry === null ? { ...one.sent } : { entry: one.entry, ...one.sent }));
    ask();
  }

  function touch(key, value) {
    state.changes[key] = value;
    ask();
  }

  function show(controls) {
    state.controls = controls;
    for (const c of LIMITS) { c.value = null; showLimit(c, controls[c.key]); }
    $("growth").disabled = controls.growth === null;
    $("growth").checked = controls.growth === true;
    $("growth-line").hidden = controls.growth === null;
    $("fixed").hidden = controls.model === null;
    $("fixed").textContent = controls.model === null ? "" : `The model is given: ${controls.model}. Its layout is searched for.`;
    rows = controls.hardware.map((row, entry) => ({ row, entry, sent: {} }));
    drawRows();
    title(controls.name);
  }

  function title(name) {
    $("name").textContent = name;
    document.title = `${name} - trainsim`;
  }

  // --- asking ----------------------------------------------------------------------------------------------------

  async function post(path, data, signal) {
    const reply = await fetch(path, {
      method: "POST", signal, credentials: "omit", cache: "no-store",
      headers: { "content-type": "application/json", "x-trainsim-token": token }, body: JSON.stringify(data),
    });
    const body = await reply.json();
    if (!reply.ok) throw Object.assign(new Error(body.error || reply.statusText), { status: reply.status });
    return body;
  }

  function question(effort) {
    return { client, effort, scenario: state.base, changes: state.changes };
  }

  function ask() {
    moved = performance.now();
    clearTimeout(timer);
    if (fullAbort) { fullAbort.abort(); fullAbort = null; }
    if (flying) { waiting = true; return; }
    preview();
  }

  async function preview() {
    flying = true; waiting = false;
    const began = moved;
    try {
      const answer = await post("/api/answer", question("preview"));
      render(answer);
      performance.measure("move", { start: began, end: performance.now() });
      say(answer.whole ? "full" : "preview", `${answer.whole ? "Exact" : "Preview"}: ${answer.plans.toLocaleString("en-US")} plans in ${answer.seconds.toFixed(2)} s; ` +
        (answer.whole ? "the figures follow." : "the exact answer follows."));
      if (!waiting) timer = setTimeout(full, PAUSE_MS);
    } catch (error) {
      fail(error);
    } finally {
      flying = false;
      if (waiting) preview();
    }
  }

  async function full() {
    const abort = fullAbort = new AbortController();
    try {
      const answer = await post("/api/answer", question("full"), abort.signal);
      if (abort.signal.aborted) return;
      render(answer);
      say("full", `Exact: ${answer.plans.toLocaleString("en-US")} plans searched in ${answer.seconds.toFixed(1)} s.`, answer.decision);
    } catch (error) {
      if (error.name !== "AbortError" && error.status !== 409) fail(error);
    } finally {
      if (fullAbort === abort) fullAbort = null;
    }
  }

  // `unseen` is for screen readers: what the page shows elsewhere.
  function say(kind, text, unseen = "") {
    $("status").className = kind;
    $("status").replaceChildren(text, make("span", { class: "unseen" }, " " + unseen));
  }

  function brief(figures) {
    const size = (value, least) => {
      for (const [unit, name] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]])
        if (round(value, 3) >= unit && unit >= least) return plain(round(value / unit, 3)) + name;
      return plain(round(value, 3));
    };
    const days = plain(round(figures.time_to_train_days || 0, 3));
    const parts = [];
    if (figures.params) parts.push(size(figures.params, 1e6));
    if (figures.tokens) parts.push(size(figures.tokens, 1e6) + " tokens");
    if (figures.time_to_train_days) parts.push(days + (days === "1" ? " day" : " days"));
    if (figures.cost_usd) parts.push("$" + size(figures.cost_usd, 1e3));
    if (figures.loss) parts.push("loss " + figures.loss.toFixed(3));
    $("brief").textContent = parts.join(", ");
    $("brief").hidden = !parts.length;
  }

  function fail(error) {
    if (error.status === 409) return;
    const gone = error instanceof TypeError;
    $("error").textContent = gone ? "The server does not answer; start trainsim serve again and load the page." : error.message;
    $("error").hidden = false;
    for (const section of $("sections").children) section.classList.add("stale");
    say("wrong", gone ? "No connection." : "This question cannot be answered; the reason is below.");
  }

  // --- the answer ------------------------------------------------------------------------------------------------

  // The sections are HTML written by the server, in which everything of a scenario is escaped; the policy of this page
  // runs no script that could be in them.
  function render(answer) {
    $("error").hidden = true;
    state.yaml = answer.yaml;
    title(answer.controls.name);
    brief(answer.feasible ? answer.figures : {});
    if (document.activeElement !== $("text")) $("text").value = answer.yaml;
    const box = $("sections"), kept = new Map([...box.children].map((section) => [section.id, section]));
    const fresh = new Set();
    let last = null;
    for (const [key, heading, html] of answer.sections) {
      const id = `section-${key}`;
      fresh.add(id);
      let section = kept.get(id);
      if (!section) section = make("section", { id, "aria-labelledby": key });
      const open = [...section.querySelectorAll("details")].map((one) => one.open);
      section.classList.remove("stale");
      section.innerHTML = `<h2 id="${key}"></h2>${html}`;
      section.firstChild.textContent = heading;
      section.querySelectorAll("details").forEach((one, place) => { one.open = open[place] || false; });
      if (section.previousElementSibling !== last || section.parentNode !== box) {
        let place = last ? last.nextSibling : box.firstChild;
        while (place && place.classList.contains("stale") && !fresh.has(place.id)) place = place.nextSibling;
        if (place !== section) box.insertBefore(section, place);
      }
      last = section;
    }
    for (const [id, section] of kept) {
      if (fresh.has(id)) continue;
      if (answer.effort === "preview" && answer.feasible) section.classList.add("stale"); else section.remove();
    }
    if (answer.effort !== "preview") answer.sections.forEach(([key]) => box.append($(`section-${key}`)));
  }

  // --- scenarios -------------------------------------------------------------------------------------------------

  async function open(request) {
    try {
      const opened = await post("/api/open", request);
      begin(opened);
    } catch (error) {
      fail(error);
    }
  }

  function begin(opened) {
    state.base = state.yaml = opened.yaml;
    state.changes = {};
    $("text").value = opened.yaml;
    show(opened.controls);
    ask();
  }

  function download() {
    const link = make("a", { download: ($("name").textContent.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60) || "scenario") + ".yaml" });
    link.href = URL.createObjectURL(new Blob([state.yaml], { type: "application/yaml" }));
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  async function start() {
    LIMITS.forEach(buildLimit);
    $("controls").addEventListener("submit", (event) => event.preventDefault());
    $("growth").addEventListener("change", () => touch("growth", $("growth").checked));
    $("download").addEventListener("click", download);
    $("reset").addEventListener("click", () => open({ scenario: state.base }));
    $("use").addEventListener("click", () => open({ scenario: $("text").value }));
    $("shipped").addEventListener("change", () => open({ name: $("shipped").value }));
    $("upload").addEventListener("change", async () => {
      const file = $("upload").files[0];
      if (!file) return;
      if (file.size > MOST) { fail(new Error(`${file.name}: a scenario has at most ${MOST / 1000} kB`)); return; }
      open({ scenario: await file.text() });
    });
    $("add").addEventListener("click", () => {
      const first = rows[0], used = new Set(rows.map((one) => one.sent.accelerator || one.row.accelerator));
      const name = ["h100-sxm-80gb", "a100-sxm-80gb", "h200-sxm-141gb", ...state.accelerators].find((one) => state.accelerators.includes(one) && !used.has(one));
      const sent = { accelerator: name, n_gpus: first.sent.n_gpus || first.row.n_gpus || 64 };
      rows.push({ row: { label: name, usd_per_gpu_hour: null }, entry: null, sent });
      drawRows();
      touchRows();
      $(`accelerator-${rows.length - 1}`).focus();
    });
    try {
      const reply = await fetch("/api/start", { cache: "no-store" });
      const begun = await reply.json();
      if (!reply.ok) throw new Error(begun.error);
      state.accelerators = begun.accelerators;
      $("version").textContent = begun.version;
      $("shipped").append(...begun.scenarios.map((name) => make("option", { value: name }, name)));
      $("shipped").value = begun.name;
      begin(begun);
    } catch (error) {
      fail(error);
    }
  }

  start();
})();
