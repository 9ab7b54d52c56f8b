// Durations as app/pages/words.py says them, for what goes on between two answers of the server; tests hold the two together.
const MINUTE = 60, HOUR = 3600, DAY = 86400;

// 95 -> 1 min 35 s. seconds: any number, of which the whole seconds are said.
export function duration(seconds) {
  const whole = Math.max(Math.floor(seconds), 0);
  if (whole < MINUTE) return `${whole} s`;
  if (whole < HOUR) return two(whole, MINUTE, "min", 1, "s");
  if (whole < DAY) return two(whole, HOUR, "h", MINUTE, "min");
  return two(whole, DAY, "d", HOUR, "h");
}

function two(whole, big, bigName, small, smallName) {
  const rest = Math.floor((whole % big) / small);
  return `${Math.floor(whole / big)} ${bigName}${rest ? ` ${rest} ${smallName}` : ""}`;
}

// One unit, for estimates: 44 s, 13 min, 2.5 h, 3 d.
function rough(seconds) {
  if (seconds < 90) return `${Math.max(Math.round(seconds), 1)} s`;
  if (seconds < 90 * MINUTE) return `${Math.round(seconds / MINUTE)} min`;
  if (seconds < 36 * HOUR) return `${short(seconds / HOUR)} h`;
  return `${short(seconds / DAY)} d`;
}

const short = (value) => (value < 10 ? value.toFixed(1) : value.toFixed(0));

// Time left, in seconds: 12 to 15 min.
export function durationRange(low, high) {
  const [first, last] = [rough(low), rough(high)];
  if (first === last) return `about ${first}`;
  const [value, unit] = first.split(" ");
  return `${last.endsWith(` ${unit}`) ? value : first} to ${last}`;
}
