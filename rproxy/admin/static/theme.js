// Owns light and dark: as the system has it, until the button says otherwise, which the browser remembers.
// Called by the browser before anything is drawn; tells others by the event "theme" on document. Never touches a colour itself.
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    try {
      return localStorage.getItem("rproxy-theme");
    } catch {
      return null;
    }
  };
  const apply = () => {
    const theme = chosen() ?? (system.matches ? "dark" : "light");
    document.documentElement.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button) {
      button.textContent = theme === "dark" ? "Light" : "Dark";
      button.setAttribute("aria-label", `Show the page ${theme === "dark" ? "light" : "dark"}`);
    }
    document.dispatchEvent(new Event("theme"));
  };
  const turn = () => {
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try {
      localStorage.setItem("rproxy-theme", next);
    } catch {
      // a browser that keeps nothing follows the system
    }
    apply();
  };
  apply();
  system.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme").addEventListener("click", turn);
  });
})();
