--- Where graphemes end: what a reader takes for one character, by Unicode's rules (UAX 29).
--
-- Owns: the rules. Leaves to others: the lists behind them (grapheme_tables.lua).
local ffi = require("ffi")
local tables = require("fsam.text.grapheme_tables")

local M = {}

local OTHER, CR, LF, CONTROL, EXTEND, JOINER, SPACING, PREPEND, LEADING, VOWEL, TRAILING, OPEN,
  CLOSED, REGION, PICTURE, LINKER, CONSONANT, BREAKING = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
  13, 14, 15, 16, 17

-- A later list has the last word: LINKER and BREAKING are parts of EXTEND.
local LISTS = {
  { "EXTEND", EXTEND }, { "SPACING", SPACING }, { "PREPEND", PREPEND }, { "CONTROL", CONTROL },
  { "LEADING", LEADING }, { "VOWEL", VOWEL }, { "TRAILING", TRAILING }, { "PICTURE", PICTURE },
  { "CONSONANT", CONSONANT }, { "LINKER", LINKER }, { "BREAKING", BREAKING },
}

local classes

local function fill(first, last, class)
  for code = first, last do
    classes[code] = class
  end
end

-- Built when it is first needed (about 1 ms, 1 MB), since plain text never needs it.
local function build()
  classes = ffi.new("uint8_t[?]", 0x110000)
  for _, list in ipairs(LISTS) do
    for first, last in tables[list[1]]:gmatch("(%x+)%-?(%x*)") do
      local a = tonumber(first, 16)
      fill(a, last == "" and a or tonumber(last, 16), list[2])
    end
  end
  fill(0xAC00, 0xD7A3, CLOSED)
  for code = 0xAC00, 0xD7A3, 28 do -- Hangul syllables without a trailing consonant
    classes[code] = OPEN
  end
  fill(0x1F1E6, 0x1F1FF, REGION)
  classes[13], classes[10], classes[0x200D] = CR, LF, JOINER
end

local function extends(class)
  return class == EXTEND or class == LINKER or class == BREAKING
end

local function hangul_joins(before, class)
  if before == LEADING then
    return class == LEADING or class == VOWEL or class == OPEN or class == CLOSED
  elseif before == OPEN or before == VOWEL then
    return class == VOWEL or class == TRAILING
  end
  return (before == CLOSED or before == TRAILING) and class == TRAILING
end

-- Does a character belong to the grapheme of the one before it, whatever came earlier?
local function joins(before, class)
  if before == CR then
    return class == LF
  elseif before == LF or before == CONTROL or class == CR or class == LF or class == CONTROL then
    return false
  end
  return extends(class) or class == JOINER or class == SPACING or before == PREPEND
    or hangul_joins(before, class)
end

-- What the characters of a grapheme so far allow next: a picture after PICTURE EXTEND* JOINER, a
-- consonant after a conjunct, a region after an odd number of them.
local PLAIN, IN_PICTURE, PICTURE_JOINED, IN_CONJUNCT, LINKED, ONE_REGION = 0, 1, 2, 3, 4, 5

local function next_state(state, class)
  if class == PICTURE then
    return IN_PICTURE
  elseif class == CONSONANT then
    return IN_CONJUNCT
  elseif class == REGION then
    return state == ONE_REGION and PLAIN or ONE_REGION
  elseif state == IN_PICTURE or state == PICTURE_JOINED then
    return class == JOINER and PICTURE_JOINED or extends(class) and IN_PICTURE or PLAIN
  elseif state == IN_CONJUNCT or state == LINKED then
    return class == LINKER and LINKED or (class == EXTEND or class == JOINER) and state or PLAIN
  end
  return PLAIN
end

local function state_joins(state, class)
  return state == PICTURE_JOINED and class == PICTURE or state == LINKED and class == CONSONANT
    or state == ONE_REGION and class == REGION
end

--- The end of the grapheme that begins at a place.
-- @tparam cdata codes int32_t array of code points
-- @tparam int n how many there are
-- @tparam int from the place, from 0
-- @treturn int the place after the grapheme
function M.after(codes, n, from)
  if not classes then
    build()
  end
  local before = classes[codes[from]]
  if from + 1 >= n or before == OTHER and classes[codes[from + 1]] == OTHER then
    return from + 1
  end
  local state = next_state(PLAIN, before)
  for i = from + 1, n - 1 do
    local class = classes[codes[i]]
    if not (joins(before, class) or state_joins(state, class)) then
      return i
    end
    state, before = next_state(state, class), class
  end
  return n
end

return M
