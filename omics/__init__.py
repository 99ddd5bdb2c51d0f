"""Multi-omics of leukaemia: from raw files to subtypes that relapse."""
