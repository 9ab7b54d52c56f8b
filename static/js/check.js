// The page of a dataset's health while its check runs: once it has ended, the page shows what it found.
const check = document.getElementById("check");
// Not while a person is already on the way to another page: a reload would take them back.
let leaving = false;
addEventListener("beforeunload", () => { leaving = true; });
check?.addEventListener("job:finished", () => setTimeout(() => { if (!leaving) location.reload(); }, 300));
