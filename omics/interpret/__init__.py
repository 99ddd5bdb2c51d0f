"""What factors mean: gene sets, and what is known of genes."""
