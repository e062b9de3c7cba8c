"""Images: found, loaded, streamed, downloaded and augmented."""
