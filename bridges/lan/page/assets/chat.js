// SPDX-License-Identifier: GPL-3.0-or-later
// What script adds to a room: lines as they come, and what a text costs while it is written. All of it works
// without; so nothing here may be in the way. Plain HTTP: no crypto.subtle, no storage, no service worker.

const MOST_LINES = 400;
const AGAIN_MS = 2000;
const AGAIN_AT_MOST_MS = 60000;

const $ = (id) => document.getElementById(id);
const section = $("lines");
const status = $("status");
const form = $("say");
let list, scroll, newest, source, last = 0, failures = 0, timer, tidying, unread = 0;
const whispers = $("whispers");
const title = document.title.replace(/^\(\d+\) /, "");

const parsed = (html) => new DOMParser().parseFromString(html, "text/html");
const atEnd = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 60;
const toEnd = () => { scroll.scrollTop = scroll.scrollHeight; newest.hidden = true; };

// The same as placing.py says for who has no script: whose a line is, where a day begins, which go under one name.
function tidy() {
  tidying = 0;
  let before = null;
  for (const line of list.children) {
    const { by, day, late } = line.dataset;
    const at = (one) => Date.parse(one.querySelector("time").dateTime);
    const name = (one) => one.querySelector(".name").textContent;
    line.dataset.on ??= late === undefined || !before ? day : before.dataset.on;
    const begins = late === undefined && before?.dataset.on !== line.dataset.on;
    const since = before ? at(line) - at(before) : -1;
    const same = !begins && before?.dataset.by === by && name(before) === name(line)
      && late === undefined && before.dataset.late === undefined && since >= 0 && since < 300000;
    line.classList.toggle("mine", by === section.dataset.me);
    line.classList.toggle("newday", begins);
    line.classList.toggle("same", same);
    const [year, month, date] = line.dataset.on.split("-");
    const options = { weekday: "long", day: "numeric", month: "long" };
    line.dataset.day = new Date(year, month - 1, date).toLocaleDateString(document.documentElement.lang, options);
    before = line;
  }
}

// What came while nobody looked: counted in the title, and the first of it is marked.
function notice(line) {
  if (document.hasFocus() && !document.hidden || line.dataset.by === section.dataset.me) return;
  if (!unread) {
    section.querySelector(".unread")?.classList.remove("unread");
    line.classList.add("unread");
  }
  unread += 1;
  entitle();
}

// With what came for the reader alone, in the room that is theirs.
function entitle() {
  const count = unread + Number(whispers?.dataset.count || 0);
  document.title = count ? `(${count}) ${title}` : title;
}

function whispered(event) {
  const { count, words } = JSON.parse(event.data);
  whispers.dataset.count = count;
  whispers.textContent = words;
  entitle();
}

// What stands around the lines, where that changed.
function around(event) {
  const { notice, standing, count } = JSON.parse(event.data);
  for (const [id, words] of [["notice", notice], ["standing", standing]]) if ($(id)) say($(id), words);
  $("people").querySelector("summary").textContent = count;
}

function looked() {
  unread = 0;
  entitle();
}

function show(line) {
  const end = atEnd();
  const old = $(line.id);
  // It turned out to be another line, that came by another way.
  if (line.dataset.copy !== undefined) { old?.remove(); tidying ||= requestAnimationFrame(tidy); return; }
  const at = Number(line.dataset.at);
  if (old) {
    if (old.classList.contains("unread")) line.classList.add("unread");
    old.replaceWith(line);
  } else {
    const next = [...list.children].reverse().find((one) => Number(one.dataset.at) < at);
    // Changed, but too old to be on the page: it comes with "earlier messages".
    if (!next && list.children.length) return;
    line.classList.add("new");
    if (!end) newest.hidden = false;
    if (at > last) notice(line);
    if (next) next.after(line); else list.append(line);
    section.querySelector(".empty")?.remove();
  }
  last = Math.max(last, at);
  if (end) trim();
  tidying ||= requestAnimationFrame(() => { tidy(); if (end) toEnd(); });
}

// What leaves the page at its top is found again under "earlier messages".
function trim() {
  if (list.children.length <= MOST_LINES) return;
  while (list.children.length > MOST_LINES) list.firstElementChild.remove();
  const link = scroll.querySelector(".earlier a");
  const url = new URL(link.href);
  url.searchParams.set("before", list.firstElementChild.dataset.at);
  link.href = url;
  link.parentElement.hidden = false;
}

async function earlier(event) {
  const link = event.target.closest(".earlier a");
  if (!link) return;
  event.preventDefault();
  const page = parsed(await (await fetch(link.href)).text());
  const height = scroll.scrollHeight;
  list.prepend(...page.querySelectorAll(".line"));
  tidy();
  link.parentElement.replaceWith(page.querySelector(".earlier"));
  scroll.scrollTop += scroll.scrollHeight - height;
}

function listen(again) {
  clearTimeout(timer);
  source?.close();
  if (document.hidden) return;
  const url = new URL(section.dataset.events, location.href);
  url.searchParams.set("after", last);
  if (again) url.searchParams.set("again", "1");
  source = new EventSource(url);
  source.onopen = () => { failures = 0; status.textContent = ""; };
  source.onmessage = (event) => { for (const line of parsed(event.data).querySelectorAll(".line")) show(line); };
  source.addEventListener("around", around);
  if (whispers) source.addEventListener("whisper", whispered);
  source.addEventListener("gap", () => { source.close(); begin().catch(() => {}); });
  source.onerror = () => {
    failures += 1;
    if (failures > 1) status.textContent = status.dataset.lost;
    // The browser tries again by itself, except after an answer that was a refusal.
    if (source.readyState !== EventSource.CLOSED) return;
    const wait = Math.min(AGAIN_AT_MOST_MS, AGAIN_MS * 2 ** failures);
    timer = setTimeout(() => listen(true), wait * (0.5 + Math.random() / 2));
  };
}

async function begin() {
  const page = parsed(await (await fetch(section.dataset.lines)).text());
  list = page.querySelector("ol.lines");
  list.removeAttribute("tabindex");
  last = Math.max(0, ...[...list.children].map((line) => Number(line.dataset.at)));
  scroll = document.createElement("div");
  scroll.className = "scroll";
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "log");
  scroll.setAttribute("aria-live", "polite");
  scroll.setAttribute("aria-relevant", "additions");
  scroll.setAttribute("aria-label", section.getAttribute("aria-label"));
  scroll.append(...[page.querySelector(".earlier"), list, page.querySelector(".empty")].filter(Boolean));
  newest = document.createElement("button");
  newest.id = "newest";
  newest.className = "quiet";
  newest.type = "button";
  newest.textContent = `↓ ${section.dataset.newest}`;
  newest.hidden = true;
  newest.addEventListener("click", toEnd);
  scroll.addEventListener("scroll", () => { if (atEnd()) newest.hidden = true; }, { passive: true });
  section.replaceChildren(scroll, newest);
  section.dataset.live = "";
  tidy();
  toEnd();
  listen(false);
}

async function live() {
  await begin();
  section.addEventListener("click", earlier);
  // A browser has six connections for all pages of a box: one that nobody looks at holds none.
  document.addEventListener("visibilitychange", () => listen(true));
  addEventListener("focus", looked);
  // Where a line is taller than before (its state came), or the window is lower (a keyboard), the end stays in sight.
  let was = scroll.clientHeight;
  new ResizeObserver(() => { if (scroll.clientHeight < was && scroll.scrollHeight - scroll.scrollTop - was < 60) toEnd(); was = scroll.clientHeight; }).observe(section);
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => { if (event.persisted) listen(true); });
}

function newForm() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  form.elements.form.value = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function answering(id, words) {
  form.elements.reply_to.value = id;
  $("quoted").textContent = words;
  $("reply").hidden = !id;
  form.elements.text.focus();
}

function say(element, words) {
  element.textContent = words;
  element.hidden = !words;
}

async function post(url, more) {
  const body = new URLSearchParams([...new FormData(form), ...Object.entries(more)]);
  const response = await fetch(url, { method: "POST", body, headers: { Accept: "application/json" } });
  return { ok: response.ok, ...(await response.json().catch(() => ({}))) };
}

async function send(event) {
  event.preventDefault();
  const sign = event.submitter?.name === "emoji" ? event.submitter.value : "";
  if (form.ariaBusy === "true") return;
  form.ariaBusy = "true";
  say($("refusal"), "");
  say($("answer"), "");
  const text = form.elements.text.value;
  try {
    const done = sign ? await post(form.dataset.react, { emoji: sign }) : await post(form.action, { confirmed: "1" });
    if (done.join) location.assign(done.join);
    else if (!done.ok) say($("refusal"), done.reason || $("refusal").dataset.failed);
    else {
      say($("answer"), done.answer || "");
      if (/^\s*\/nick\s/.test(text)) location.reload();  // who one is stands in many places of the page
      // Who types on meanwhile keeps that.
      if (!sign && form.elements.text.value === text) form.elements.text.value = "";
      newForm();
      answering("", "");
      weigh();
    }
  } catch {
    say($("refusal"), $("refusal").dataset.failed);
  } finally {
    form.ariaBusy = "false";
  }
}

let weighing;
function weigh() {
  clearTimeout(weighing);
  weighing = setTimeout(async () => {
    const text = form.elements.text.value;
    if (!text.trim()) { $("cost").textContent = ""; return; }
    const cost = await post(form.dataset.cost, {}).catch(() => ({}));
    if (text === form.elements.text.value && cost.ok) $("cost").textContent = [cost.words, ...cost.not].filter(Boolean).join(" · ");
  }, 350);
}

function click(event) {
  const link = event.target.closest("a.reply");
  if (link) {
    event.preventDefault();
    const line = link.closest(".line");
    answering(line.dataset.id, `${line.querySelector(".name").textContent}: ${line.querySelector(".text").textContent.slice(0, 80)}`);
  } else if (event.target.closest("#no-reply")) {
    event.preventDefault();
    answering("", "");
  }
}

if (form) {
  form.addEventListener("submit", send);
  form.addEventListener("input", weigh);
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.target.id !== "text") return;
    event.preventDefault();
    form.requestSubmit();
  });
  document.addEventListener("click", click);
  $("look").hidden = true;
}
// Who is here, as it is now, when somebody looks.
async function lookAround() {
  if (!$("people").open) return;
  const page = parsed(await (await fetch(location.href)).text());
  $("people").replaceChildren(...page.getElementById("people").childNodes);
}

$("people").addEventListener("toggle", () => lookAround().catch(() => {}));
if (section && "EventSource" in window) live().catch(() => {});
