"""The results in words and pictures: text, JSON, HTML, figures and the reporting checklist."""
