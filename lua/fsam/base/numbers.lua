--- Numbers as people read them: the few forms that all reports share.
--
-- Owns: these forms. Leaves to others: numbers that must read back as the same double (json.lua).
local M = {}

--- A whole number with its thousands apart: 8551 → "8,551".
function M.count(n)
  local text = ("%.0f"):format(n)
  local sign, digits = text:match("^(%-?)(%d+)$")
  if not digits then
    return text
  end
  digits = digits:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", "")
  return sign .. digits
end

--- The largest number of f32.
M.F32_MOST = 2 ^ 128 - 2 ^ 104

--- How many there are of something: 1 "update" → "1 update", 8551 → "8,551 updates".
-- @tparam integer n
-- @tparam string noun of one of them, which takes an s for several
-- @treturn string
function M.quantity(n, noun)
  return M.count(n) .. " " .. noun .. (n == 1 and "" or "s")
end

--- A time left, from seconds: "0:01", "12:34", "1:02:03"; "?" for NaN and infinity.
function M.clock(seconds)
  if seconds ~= seconds or seconds == math.huge then
    return "?"
  end
  local s = math.floor(seconds + 0.5)
  local hours, minutes = math.floor(s / 3600), math.floor(s / 60) % 60
  if hours > 0 then
    return ("%d:%02d:%02d"):format(hours, minutes, s % 60)
  end
  return ("%d:%02d"):format(minutes, s % 60)
end

--- A time taken, from seconds: "0.4 s", "41 s", "12 min 05 s", "2 h 03 min".
function M.duration(seconds)
  if seconds < 10 then
    return ("%.1f s"):format(seconds)
  elseif seconds < 120 then
    return ("%.0f s"):format(seconds)
  end
  local s = math.floor(seconds + 0.5)
  if s < 7200 then
    return ("%d min %02d s"):format(math.floor(s / 60), s % 60)
  end
  return ("%d h %02d min"):format(math.floor(s / 3600), math.floor(s / 60) % 60)
end

--- A count in millions: 416002 → "0.4 M", 124645632 → "124.6 M".
function M.millions(n)
  return ("%.1f M"):format(n / 1e6)
end

--- A metric's value: the accuracy in percent, the others to three places.
-- @tparam string name as fsam.data.metrics has it
-- @tparam ?number value a fraction; nil gives a dash
-- @treturn string
function M.metric(name, value)
  if value == nil then
    return "–"
  elseif name == "accuracy" then
    return ("%.1f %%"):format(value * 100)
  end
  return ("%.3f"):format(value)
end

--- Pads to a width in characters (UTF-8 continuation bytes do not count).
function M.pad(text, width)
  local length = select(2, text:gsub("[^\128-\191]", ""))
  return text .. (" "):rep(width - length)
end

return M
