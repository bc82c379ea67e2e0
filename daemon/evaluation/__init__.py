"""From a committed evaluation to a committed plan: broker, blocked evaluations, pool, workers, plan queue."""
