// Sets the theme before the first paint: the stored choice, or the system's. Not a module, so that it blocks.
(() => {
  const stored = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const choice = stored();
  if (choice === "light" || choice === "dark") document.documentElement.dataset.theme = choice;
  document.documentElement.classList.add("js");
})();
