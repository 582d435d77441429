"""The provider seam: the contract that everything with sessions implements, and the registry that finds it."""
