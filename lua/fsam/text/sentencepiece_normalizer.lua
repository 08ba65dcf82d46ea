--- How SentencePiece itself normalises a text: its rules, then its spaces, which it writes as
-- U+2581.
--
-- Owns: the order of these and the handling of spaces. Leaves to others: the rules (charsmap.lua),
-- reading the flags (sentencepiece.lua).
local charsmap = require("fsam.text.charsmap")
local ffi = require("ffi")

local M = {}

local SPACE = "\226\150\129"

local Normalizer = {}
Normalizer.__index = Normalizer

local function longer(a, b)
  return #a > #b
end

--- A normaliser.
-- @tparam table model sentencepiece.lua
-- @tparam string where for messages
-- @treturn table with the method `normalize`
-- @raise one line, when the rules are damaged
function M.new(model, where)
  local self = setmetatable({ model = model, user = {} }, Normalizer)
  self.rules = model.charsmap and model.charsmap ~= "" and charsmap.new(model.charsmap, where)
  self.space = model.escape_spaces and SPACE or " "
  for _, piece in ipairs(model.pieces) do
    if piece.kind == "user" then
      local lead = piece.text:byte()
      self.user[lead] = self.user[lead] or {}
      table.insert(self.user[lead], piece.text)
      self.user_has_spaces = self.user_has_spaces or piece.text:find(" ", 1, true)
    end
  end
  for _, list in pairs(self.user) do
    table.sort(list, longer)
  end
  return self
end

--- The user's piece that begins at a byte, the longest one, or nil.
local function user_piece(self, text, at)
  for _, piece in ipairs(self.user[text:byte(at)] or {}) do
    if text:sub(at, at + #piece - 1) == piece then
      return piece
    end
  end
end

--- The first stretch at or after a byte that a rule replaces, or that is a piece of the user's and
-- so is replaced by itself.
-- @treturn int where it begins; past the end where there is none
-- @treturn int how many bytes it has
-- @treturn string what replaces it
local function next_replaced(self, text, p, at)
  local rules, user = self.rules, self.user
  while at <= #text do
    local lead = p[at - 1]
    local whole = user[lead] and user_piece(self, text, at)
    if whole then
      return at, #whole, whole
    elseif rules then
      local length, value = rules:find(p, at - 1, #text, true)
      if length > 0 then
        return at, length, rules:replacement(value)
      end
    end
    at = at + (lead < 0xC0 and 1 or lead < 0xE0 and 2 or lead < 0xF0 and 3 or 4)
  end
  return at, 0, ""
end

--- The text with the rules applied, left to right, the longest key first. Without extra spaces, a
-- stretch loses its first spaces after a space, and only what was not replaced loses others.
local function apply_rules(self, text)
  local remove, parts, n = self.model.remove_spaces, {}, 0
  local after_space = remove
  local function take(part, replaced)
    if remove and not replaced then
      part = part:gsub("  +", " ")
    end
    if after_space then
      part = part:gsub("^ +", "")
    end
    if part ~= "" then
      n = n + 1
      parts[n] = part
      after_space = remove and part:sub(-1) == " "
    end
  end
  local p, at = ffi.cast("const uint8_t *", text), 1
  while at <= #text do
    local first, length, replacement = next_replaced(self, text, p, at)
    take(text:sub(at, first - 1), false)
    take(replacement, true)
    at = first + length
  end
  return table.concat(parts)
end

--- Normalised text.
-- @tparam string text valid UTF-8
-- @treturn string valid UTF-8, where the model's pieces are looked for
function Normalizer:normalize(text)
  local model = self.model
  local plain = text
  if self.rules and not self.rules:is_plain(text) or self.user_has_spaces then
    plain = apply_rules(self, text)
  elseif model.remove_spaces then
    plain = text:gsub("^ +", ""):gsub("  +", " ")
  end
  if text == "" or plain == "" and model.remove_spaces then
    return ""
  end
  if model.dummy_prefix and not model.suffix_space then
    plain = " " .. plain
  end
  if model.escape_spaces then
    plain = plain:gsub(" ", SPACE)
  end
  if model.remove_spaces then
    while plain:sub(-#self.space) == self.space do
      plain = plain:sub(1, -#self.space - 1)
    end
  end
  return model.dummy_prefix and model.suffix_space and plain .. self.space or plain
end

return M
