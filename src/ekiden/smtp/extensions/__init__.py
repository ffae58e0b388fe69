"""Drop-in folder: one ESMTP extension a file, each declares EXTENSION."""
