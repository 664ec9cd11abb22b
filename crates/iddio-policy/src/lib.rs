//! Policy files: strict parsing with positions, lint, test, explain.
