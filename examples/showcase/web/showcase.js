"use strict";
// The access token lives in memory only. The refresh token lives in the storage that all tabs share: renewing is made for
// that, while a copy in a storage of its own, as a duplicated tab would have, is what a thief's copy looks like.
const $ = (id) => document.getElementById(id);
const API = "/api/v1";
const PAGE = 10;
let access = null;
let offset = 0;
let watching = 0;

const refreshToken = {
  get: () => localStorage.getItem("refreshToken"),
  set: (token) => localStorage.setItem("refreshToken", token),
  clear: () => localStorage.removeItem("refreshToken"),
};

function notice(text) {
  $("notice").textContent = text || "";
  $("notice").hidden = !text;
}

function element(tag, text, className) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}

async function send(method, path, body) {
  const headers = {};
  if (access) headers.Authorization = `Bearer ${access}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(API + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  return { status: response.status, ok: response.ok, json: text ? JSON.parse(text) : null };
}

// One renewal at a time: every caller that finds its token expired waits for the same answer. Only a 401 ends the session;
// after anything else, such as a 503, the same refresh token is still good.
let renewing = null;
function renew() {
  renewing ??= (async () => {
    const token = refreshToken.get();
    if (!token) return false;
    access = null;
    const answer = await send("POST", "/renew", { refreshToken: token });
    if (answer.status === 401) refreshToken.clear();
    if (!answer.ok) return false;
    access = answer.json.token;
    if (answer.json.refreshToken) refreshToken.set(answer.json.refreshToken); // else: keep yours
    return true;
  })().finally(() => { renewing = null; });
  return renewing;
}

async function call(method, path, body) {
  let answer = await send(method, path, body);
  if (answer.status === 401 && (await renew())) answer = await send(method, path, body);
  if (answer.status === 401 && !refreshToken.get()) {
    signedOut("This session has ended. Log in again.");
  } else if (!answer.ok && answer.status !== 422) {
    notice((answer.json && answer.json._errors || [`Error ${answer.status}`]).join(" "));
  }
  return answer;
}

function signedOut(text) {
  access = null;
  refreshToken.clear();
  clearTimeout(watching);
  $("signed-in").hidden = true;
  $("who").hidden = true;
  $("signed-out").hidden = false;
  notice(text);
}

// What the token says, for showing it; whether it is true is the server's business.
function userOf(token) {
  const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(payload), (byte) => byte.charCodeAt(0)))).sub;
}

async function signedIn() {
  $("user").textContent = userOf(access);
  $("signed-out").hidden = true;
  $("signed-in").hidden = false;
  $("who").hidden = false;
  notice("");
  await Promise.all([showDevices(), showItems(), showJobs()]);
}

$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const answer = await send("POST", "/login", Object.fromEntries(form));
  if (!answer.ok) return notice((answer.json._errors || ["Log-in failed."]).join(" "));
  access = answer.json.token;
  refreshToken.set(answer.json.refreshToken);
  event.target.elements.password.value = "";
  await signedIn();
});

$("logout").addEventListener("click", async () => {
  await call("POST", "/logout");
  signedOut("You are logged out on this device.");
});

// Devices
async function showDevices() {
  const answer = await call("GET", "/tokens");
  if (!answer.ok) return;
  $("devices").replaceChildren(...answer.json.tokens.map((session) => {
    const row = element("tr");
    const name = element("td", session.label || session.userAgent || "unnamed");
    if (session.current) name.append(element("div", "this device", "this"));
    const end = element("td");
    const button = element("button", "Revoke");
    button.addEventListener("click", async () => {
      await call("DELETE", `/tokens/${session.id}`);
      if (session.current) signedOut("You revoked this device."); else await showDevices();
    });
    end.append(button);
    row.append(name, element("td", session.ip || ""), element("td", when(session.renewedAt)), end);
    return row;
  }));
}

function when(value) {
  const date = new Date(value);
  return Number.isNaN(date.valueOf()) ? "" : date.toLocaleString();
}

$("revoke-others").addEventListener("click", async () => {
  await call("DELETE", "/tokens/others");
  await showDevices();
});
$("revoke-all").addEventListener("click", async () => {
  await call("DELETE", "/tokens");
  signedOut("Every device is logged out.");
});

// Items
async function showItems() {
  const answer = await call("GET", `/items?offset=${offset}&limit=${PAGE}`);
  if (!answer.ok) return;
  const { items, totalItems } = answer.json;
  $("items").replaceChildren(...items.map((item) => {
    const row = element("tr");
    const end = element("td");
    const button = element("button", "Delete");
    button.addEventListener("click", async () => {
      if ((await call("DELETE", `/items/${item.id}`)).ok) await showItems();
    });
    end.append(button);
    row.append(element("td", item.id), element("td", item.name), element("td", item.quantity), end);
    return row;
  }));
  const last = Math.min(offset + PAGE, totalItems);
  $("position").textContent = totalItems ? `${Math.min(offset + 1, totalItems)} to ${last} of ${totalItems}` : "no items";
  $("previous").disabled = offset === 0;
  $("next").disabled = last >= totalItems;
}
$("previous").addEventListener("click", () => { offset = Math.max(0, offset - PAGE); showItems(); });
$("next").addEventListener("click", () => { offset += PAGE; showItems(); });

$("new-item").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { name, quantity } = Object.fromEntries(new FormData(event.target));
  // sent as typed when it is no number, so that the answer can name every wrong field at once
  const number = quantity.trim() === "" ? undefined : Number(quantity);
  const answer = await call("POST", "/items", { name, quantity: Number.isNaN(number) ? quantity : number });
  const faults = answer.status === 422 ? Object.entries(answer.json).flatMap(([field, texts]) => texts.map((text) => `${field}: ${text}`)) : [];
  $("faults").hidden = faults.length === 0;
  $("faults").replaceChildren(...faults.map((text) => element("li", text)));
  if (answer.ok) { event.target.reset(); notice(""); await showItems(); }
});

// Jobs
async function showJobs() {
  clearTimeout(watching);
  const answer = await call("GET", "/jobs");
  if (!answer.ok) return;
  $("jobs").replaceChildren(...answer.json.items.map((job) => {
    const item = element("li", `Report ${job.id.slice(-6)}: ${job.state}`);
    const bar = element("progress");
    bar.max = 1;
    bar.value = job.state === "done" ? 1 : job.progress || 0;
    item.append(bar);
    if (job.result) item.append(element("div", `${job.result.items} items, ${job.result.quantity} pieces`, "hint"));
    if (job.error) item.append(element("div", job.error, "faults"));
    return item;
  }));
  if (answer.json.items.some((job) => ["waiting", "running"].includes(job.state))) watching = setTimeout(showJobs, 300);
}
$("enqueue").addEventListener("click", async () => {
  if ((await call("POST", "/jobs", {})).ok) await showJobs();
});

(async () => { if (await renew()) await signedIn(); })();
