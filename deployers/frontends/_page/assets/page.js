// Shows pictures as soon as they are chosen, dropped or pasted, and sends them one by one.
// Without it the page is a plain form; every answer is made by the server either way.

const AT_ONCE = 3; // pictures that are being sent
const part = (id) => document.getElementById(id);
const form = part("form"), list = part("answers");
const cards = new Map(); // element -> its file, and what stops sending it
const queue = [];
let sending = 0;

document.documentElement.classList.add("js");

function add(files) {
  const most = Number(form.dataset.files);
  const added = [...files].slice(0, most).map(make);
  list.prepend(...added);
  queue.push(...added.filter((card) => card.dataset.state === "waiting"));
  const left = files.length - added.length;
  part("left").textContent = left ? `${count(left)} left out: ${most} at a time.` : "";
  say(`${count(added.length)} added. ${part("left").textContent}`);
  next();
}

function make(file) {
  const card = part("card").content.firstElementChild.cloneNode(true);
  const image = card.querySelector("img"), remove = card.querySelector(".remove");
  card.querySelector(".file").textContent = file.name;
  image.src = URL.createObjectURL(file);
  image.onerror = () => card.classList.add("blank"); // a format that only the model knows
  remove.setAttribute("aria-label", `Remove ${file.name}`);
  remove.onclick = () => drop(card);
  cards.set(card, { file });
  if (file.type && !file.type.startsWith("image/")) show(card, part("strange").innerHTML);
  else if (file.size > Number(form.dataset.bytes)) show(card, part("large").innerHTML);
  return card;
}

function drop(card) {
  const beside = card.nextElementSibling ?? card.previousElementSibling;
  URL.revokeObjectURL(card.querySelector("img").src);
  cards.get(card).stop?.abort();
  cards.delete(card);
  card.remove();
  (beside?.querySelector(".remove") ?? part("choose")).focus();
  tell();
}

function next() {
  tell();
  while (sending < AT_ONCE && queue.length) {
    sending += 1;
    ask(queue.shift()).finally(() => { sending -= 1; next(); });
  }
}

async function ask(card, again = false) {
  const known = cards.get(card), body = new FormData();
  if (!known) return; // it was removed meanwhile
  known.stop = new AbortController();
  body.append("token", part("token").value);
  body.append("picture", known.file, known.file.name);
  try {
    const request = { method: "POST", body, headers: { "X-Fragment": "1" }, signal: known.stop.signal };
    const response = await fetch(form.action, request);
    if (response.status === 403 && !again) { // the page's program was started anew
      await refresh();
      return ask(card, true);
    }
    show(card, await response.text());
  } catch {
    if (cards.has(card)) show(card, part("offline").innerHTML);
  }
}

function show(card, html) { // made by the server, or with the page
  const answer = card.querySelector(".answer");
  answer.innerHTML = html;
  const { state, said } = answer.firstElementChild?.dataset ?? {};
  if (!state) return show(card, part("offline").innerHTML); // of a proxy, say
  card.dataset.state = state;
  answer.querySelector(".retry")?.addEventListener("click", () => retry([card]));
  say(`${card.querySelector(".file").textContent}: ${said}`);
}

function retry(some) {
  for (const card of some) {
    const answer = card.querySelector(".answer"), fresh = part("card").content.cloneNode(true);
    if (answer.contains(document.activeElement)) card.querySelector(".remove").focus();
    card.dataset.state = "waiting";
    answer.replaceChildren(...fresh.querySelector(".answer").childNodes);
  }
  queue.push(...some);
  next();
}

async function refresh() { // what the model is, and the token of the form
  const page = await (await fetch(form.action)).text();
  const fresh = new DOMParser().parseFromString(page, "text/html");
  for (const id of ["model", "token"]) part(id).replaceWith(fresh.getElementById(id));
}

const count = (number) => `${number} picture${number === 1 ? "" : "s"}`;

function tell() {
  const open = list.querySelectorAll("[data-state=waiting]").length, all = cards.size;
  part("count").textContent = open ? `${all - open} of ${all}` : "";
  part("clear").hidden = all < 2;
}

function say(text) { // to a screen reader
  const line = document.createElement("p");
  line.textContent = text;
  part("said").append(line);
}

form.addEventListener("change", ({ target }) => {
  add(target.files);
  target.value = ""; // the same picture may be chosen again
});
form.addEventListener("click", ({ target }) => {
  if (!target.closest("input, label, button")) part("choose").click();
});
document.addEventListener("paste", ({ clipboardData }) => {
  if (clipboardData?.files.length) add(clipboardData.files);
});
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    form.classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") add(event.dataTransfer.files);
  });
}
part("clear").addEventListener("click", () => [...cards.keys()].forEach(drop));
document.addEventListener("click", async (event) => {
  if (event.target.id !== "again") return;
  event.preventDefault();
  await refresh().catch(() => say("This page can not be reached."));
  (part("again") ?? part("model")).focus();
  if (!part("again")) retry([...list.querySelectorAll(".card[data-state=down]")]);
});
