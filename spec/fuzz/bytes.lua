--- Small changes of a text that know nothing of its meaning but lines, numbers and a few words.
-- Owns: these changes. Leaves to others: documents (document.lua), when and how often
-- (mutate.lua).
local M = {}

local MOST = 65536 -- bytes of a text that grows

local NUMBERS = { "-1", "0", "1", "2", "127", "255", "65536", "2147483647", "2147483648",
  "4294967295", "4294967296", "9007199254740993", "18446744073709551616", "1e308", "-1e308",
  "1e999",
  "0.5", "-0", "1e-320", "nan", "inf", "0x10", "00", "99999999999999999999999999" }

local ODD = { "\0", "\255", "\27[31m", "\n", "\r\n", "\r", "\t", " ", '"', "\\", "{", "[", "\128",
  "\192\128", "\237\160\128", "\239\187\191", "\239\191\191", "\244\144\128\128", "\194\133",
  "\226\128\168", "\204\128\204\163", "\194\173", "\240\158\163\144" }

-- Positions from … to of a piece of a text that has at least one byte.
local function piece(draw, text, longest)
  local from = draw:upto(#text)
  return from, math.min(#text, from + draw:upto(longest) - 1)
end

-- A whole number of a binary format: 1, 2, 4 or 8 bytes, least first, a little more or less than
-- before, or an odd one.
local function change_integer(draw, text)
  local width = draw:from({ 1, 2, 4, 8 })
  local at = draw:upto(math.max(1, #text - width + 1))
  local list = { text:byte(at, at + width - 1) }
  if draw:once_in(4) then
    local fill = draw:from({ 0, 255 })
    for i = 1, #list do
      list[i] = fill
    end
    list[#list] = draw:from({ fill, 127, 128 })
  else
    local carry = draw:from({ -16, -2, -1, 1, 2, 16 })
    for i = 1, #list do
      local sum = list[i] + carry
      list[i], carry = sum % 256, math.floor(sum / 256)
    end
  end
  return text:sub(1, at - 1) .. string.char(unpack(list)) .. text:sub(at + #list)
end

local CHANGES = {
  change_integer,
  function(draw, text) -- one bit
    local at = draw:upto(#text)
    local byte = bit.bxor(text:byte(at), bit.lshift(1, draw:upto(8) - 1))
    return text:sub(1, at - 1) .. string.char(byte) .. text:sub(at + 1)
  end,
  function(draw, text) -- an odd byte or character in place of one
    local at = draw:upto(#text)
    return text:sub(1, at - 1) .. draw:from(ODD) .. text:sub(at + 1)
  end,
  function(draw, text) -- more bytes
    local at = draw:upto(#text)
    local more = draw:once_in(2) and draw:from(ODD) or draw:bytes(draw:upto(8))
    return text:sub(1, at) .. more .. text:sub(at + 1)
  end,
  function(draw, text) -- fewer bytes
    local from, to = piece(draw, text, draw:once_in(4) and #text or 8)
    return text:sub(1, from - 1) .. text:sub(to + 1)
  end,
  function(draw, text) -- a piece again, sometimes very often
    local from, to = piece(draw, text, draw:once_in(4) and 200 or 16)
    local times = draw:once_in(100) and 4000 or draw:upto(draw:once_in(10) and 60 or 3)
    times = math.min(times, math.floor(MOST / (to - from + 1)))
    return text:sub(1, to) .. text:sub(from, to):rep(times) .. text:sub(to + 1)
  end,
  function(draw, text) -- the beginning alone
    return text:sub(1, draw:upto(#text) - 1)
  end,
  function(draw, text, other) -- the beginning of this and the end of another
    return text:sub(1, draw:upto(#text)) .. other:sub(draw:upto(#other + 1))
  end,
  function(draw, text, _, words) -- a word of the format
    local at = draw:upto(#text)
    return text:sub(1, at) .. draw:from(words) .. text:sub(at + 1)
  end,
  function(draw, text) -- another number
    local from, to = text:find("%d+", draw:upto(#text))
    if not from then
      return text .. draw:from(NUMBERS)
    end
    return text:sub(1, from - 1) .. draw:from(NUMBERS) .. text:sub(to + 1)
  end,
  function(draw, text) -- a line left out, doubled, or moved to the end
    local before = text:find("\n", draw:upto(#text), true) or 0
    local from, to = before + 1, text:find("\n", before + 1, true)
    if not to then
      return text .. "\n"
    end
    local line, kind = text:sub(from, to), draw:upto(3)
    local kept = kind == 2 and line .. line or ""
    return text:sub(1, from - 1) .. kept .. text:sub(to + 1) .. (kind == 3 and line or "")
  end,
}

M.numbers, M.odd = NUMBERS, ODD

--- One change.
-- @tparam Draw draw
-- @tparam string text
-- @tparam string other a text of the same kind, to take pieces from
-- @tparam {string,…} words of the format; at least one
-- @treturn string
function M.change(draw, text, other, words)
  if text == "" then
    return draw:once_in(2) and other or draw:from(words)
  end
  return draw:from(CHANGES)(draw, text, other, words)
end

return M
