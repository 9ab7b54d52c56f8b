/* ROC curves: the row under the pointer or with the focus brings its curve to the front of the others. */

for (const chart of document.querySelectorAll("[data-curves]")) {
  const paths = [...chart.querySelectorAll("[data-curve]")];
  const rows = [...chart.querySelectorAll("tbody tr")];
  const keys = rows.map((row) => row.querySelector(".series")?.classList[1]);
  const front = (index) => {
    for (const path of paths) path.classList.toggle("is-back", index !== -1 && !path.classList.contains(keys[index]));
  };
  for (const [index, row] of rows.entries()) {
    row.addEventListener("pointerenter", () => front(index));
    row.addEventListener("pointerleave", () => front(-1));
  }
}
