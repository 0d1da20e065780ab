"""Reports that one launcher each writes: tables, pictures and words made from records."""
