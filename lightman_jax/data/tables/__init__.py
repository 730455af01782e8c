"""Tables as other programs write them: text files and workbooks, their cells, and rows by column names."""
