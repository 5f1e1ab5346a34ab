"""report.html: tables, figures and pictures of an evaluation or a training; and a model's card."""
