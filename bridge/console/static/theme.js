// Runs before the page is drawn, so that it does not flash in the wrong colours.
(() => {
  try {
    const theme = localStorage.getItem('sluice-theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch { /* storage is switched off; the system's choice stays */ }
})();
