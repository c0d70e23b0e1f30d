// Instants and the wall clock of the site's time zone, which is what people see and type.

/** The wall clock of an instant in a zone, as YYYY-MM-DDTHH:MM:SS. */
function wall(instant, zone) {
  const format = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hourCycle: "h23", year: "numeric", month: "2-digit",
    day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const part = Object.fromEntries(format.formatToParts(instant).map((one) => [one.type, one.value]));
  return part.year.padStart(4, "0") + "-" + part.month + "-" + part.day + "T" + part.hour + ":" + part.minute + ":" + part.second;
}
/** The instant at which the zone's clock shows a time; in a gap the first one after it. */
function instant(clock, zone) {
  const wanted = Date.parse(clock.length === 16 ? clock + ":00Z" : clock + "Z");
  let guess = wanted;
  for (let turn = 0; turn < 3; turn++) guess += wanted - Date.parse(wall(new Date(guess), zone) + "Z");
  return new Date(guess).toISOString().replace(".000Z", "Z");
}
function shownDate(value, dateOnly, zone) {
  const clock = wall(new Date(value), zone);
  return dateOnly ? clock.slice(0, 10) : clock.replace("T", " ").replace(/:00$/, "");
}
