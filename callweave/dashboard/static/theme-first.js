// Before anything is painted: the theme and language that were chosen last, so that nothing flashes.
(() => {
  const kept = (name) => {
    try {
      return localStorage.getItem(`callweave.${name}`);
    } catch {
      return null; // storage may be forbidden; the system's choice stands then
    }
  };
  const theme = kept("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  const language = kept("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
})();
