-- The time zone of the site, where it was learnt from the list: a date-only column keeps a day as the site's
-- midnight. A zone that the definition's document names stands above it.
ALTER TABLE definitions ADD COLUMN time_zone text CHECK (length(time_zone) BETWEEN 1 AND 64);
