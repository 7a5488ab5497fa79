"""report.html: one file with the table, charts, example pairs and where they come from; nothing outside is asked for.

| file | idea |
|---|---|
| content | what is said and drawn of a table, as numbers |
| tables | the table's cells |
| configs | settings that differ; provenance |
| pictures | thumbnails and heat maps, each embedded once |
| heatmaps | the heat maps of a run, or why there are none |
| gallery, map_pairs | the section on maps, with its pictures |
| page, template.html, style.css, script.js | the file itself |
| event_images | the same example pairs for TensorBoard |
| write | all of it, from tables |
| of_sweep | from a sweep that has run |
"""

from engine.report.of_sweep import report_of_sweep
from engine.report.write import Origins, write_report

__all__ = ["Origins", "report_of_sweep", "write_report"]
