"use strict";
// Without this script the page has all its words and tables.
const root = document.documentElement;
const wantsDark = window.matchMedia("(prefers-color-scheme: dark)");
const templates = JSON.parse(document.getElementById("templates").textContent);
const toggle = document.querySelector("button.theme");
let dark = wantsDark.matches;

function draw(isDark) {
  for (const place of document.querySelectorAll("[data-figure]")) {
    const figure = JSON.parse(document.getElementById(place.dataset.figure).textContent);
    figure.layout.template = templates[isDark ? "dark" : "light"];
    if (place.clientWidth < 480) narrow(figure.layout);
    Plotly.react(place, figure.data, figure.layout, { responsive: true, displaylogo: false, displayModeBar: "hover" });
  }
}

// A phone has no room for a range beside the figure.
function narrow(layout) {
  layout.font = { ...(layout.font || {}), size: 11 };
  layout.dragmode = false;
}

function show() {
  root.classList.toggle("dark", dark);
  root.classList.toggle("light", !dark);
  toggle.textContent = dark ? "Light" : "Dark";
  draw(dark);
}

toggle.hidden = false;
toggle.addEventListener("click", () => { dark = !dark; show(); });
// Paper is light.
window.addEventListener("beforeprint", () => { root.classList.remove("dark"); root.classList.add("light"); draw(false); });
window.addEventListener("afterprint", show);

function sortBy(table, column, header) {
  const descending = header.getAttribute("aria-sort") !== "descending";
  for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent;
  const isNumber = rows.some((row) => row.cells[column].dataset.key !== undefined);
  rows.sort((one, other) => {
    const a = key(one), b = key(other);
    // Cells without a number stay last in both directions.
    if (isNumber && (a === "" || b === "")) return (a === "") - (b === "");
    const order = isNumber ? a - b : a.localeCompare(b);
    return descending ? -order : order;
  });
  body.append(...rows);
}

for (const table of document.querySelectorAll("table")) {
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = header.textContent;
    button.addEventListener("click", () => sortBy(table, column, header));
    header.replaceChildren(button);
  });
}

for (const field of document.querySelectorAll("[data-filter]")) {
  const rows = document.getElementById(field.dataset.filter).querySelectorAll("tbody tr");
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
}

show();
