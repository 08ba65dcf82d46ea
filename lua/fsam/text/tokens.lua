--- Which tokens are added to a vocabulary, and the ids they get.
--
-- Owns: the order of adding, which decides the ids of tokens that the vocabulary lacks; it is that
-- of Transformers 5, which takes an id from a file only as a place in this order. Leaves to others:
-- which files name which tokens (folder.lua), finding them in text (added.lua).
local folder = require("fsam.text.folder")

local M = {}

-- The role of each special token here, and its key in tokenizer_config.json.
M.ROLES = {
  { "pad", "pad_token" }, { "unk", "unk_token" }, { "cls", "cls_token" }, { "sep", "sep_token" },
  { "mask", "mask_token" },
}

local Adding = {}
Adding.__index = Adding

-- The first of equal tokens counts. One that the vocabulary has keeps that id, another gets the
-- next one.
function Adding:add(token)
  if token.content == "" or self.known[token.content] then
    return
  end
  local id = self.ids[token.content]
  if not id then
    id = math.max(self.last + 1, self.size)
  end
  self.known[token.content] = true
  self.last = math.max(self.last, id)
  local copy = { id = id }
  for key, value in pairs(token) do
    copy[key] = value
  end
  self.list[#self.list + 1] = copy
end

-- A special token of a key. Of several keys with one token (RoBERTa's bos and cls) the last one's
-- flags count, unless the token was added before any of them.
function Adding:name(token)
  local before = self.named[token.content]
  if before then
    before.implied = token.implied and before.implied
    for key, value in pairs(token) do
      before[key] = key == "implied" and before.implied or value
    end
  elseif not self.known[token.content] then
    self:add(token)
    self.named[token.content] = self.list[#self.list]
  end
end

--- All added tokens of a tokenizer, with their ids.
-- @tparam table ids map from piece to id, of the vocabulary
-- @tparam table said what the folder says (folder.lua)
-- @tparam {table,…} first tokens that are added before those, in this order
-- @treturn {table,…} `{ content, id, special, normalized, lstrip, rstrip, single_word }`; a token
--   that only the class names and the vocabulary lacks has `implied` = true
-- @treturn table the names of the special tokens, by role (pad, unk, cls, sep, mask)
function M.all(ids, said, first)
  local adding = setmetatable({ ids = ids, known = {}, named = {}, last = -1, size = 0,
    list = {} }, Adding)
  for _ in pairs(ids) do
    adding.size = adding.size + 1
  end
  for _, list in ipairs({ first, said.added }) do
    for _, token in ipairs(list) do
      adding:add(token)
    end
  end
  local names, defaults = {}, said.class.tokens
  for _, key in ipairs(folder.KEYS) do
    local token = said.named[key]
    if not token and defaults[key] and not said.none[key] then
      token = folder.token(defaults[key], true)
      token.implied = not ids[token.content] or nil
    end
    if token then
      adding:name(token)
      names[key] = token.content
    end
  end
  for _, list in ipairs({ said.own, said.extra }) do
    for _, token in ipairs(list) do
      adding:add(token)
    end
  end
  local by_role = {}
  for _, role in ipairs(M.ROLES) do
    by_role[role[1]] = names[role[2]]
  end
  return adding.list, by_role
end

return M
