"""What every builder shares: work items, their execution, journals, folders, tables, previews."""
