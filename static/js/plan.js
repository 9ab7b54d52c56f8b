// Groups come from a column or from a pattern: who fills in one has done with the other.
const fields = document.querySelector("[data-one-of]");

fields?.addEventListener("input", (event) => {
  if (!event.target.value) return;
  for (const other of fields.querySelectorAll("[name]")) if (other !== event.target) other.value = "";
});
