--- The ids of words that a tokenizer has seen before. Owns: remembering them within bounds, since
-- text without end must not fill the memory. Leaves to others: what a word is, and its ids
-- (wordpiece.lua, bpe.lua).
local M = {}

local WORDS, BYTES = 100000, 64 -- how many are remembered; the longest of them

local Cache = {}
Cache.__index = Cache

--- A cache over a function.
-- @tparam function ids_of (word) → list of ids
-- @treturn table with the method `append`
function M.new(ids_of)
  return setmetatable({ ids_of = ids_of, known = {}, count = 0 }, Cache)
end

local function look_up(self, word)
  local ids = self.ids_of(word)
  if #word <= BYTES then
    if self.count >= WORDS then
      self.known, self.count = {}, 0
    end
    self.known[word] = ids
    self.count = self.count + 1
  end
  return ids
end

--- Appends the ids of a word to a list.
-- @tparam table list of n ids
-- @tparam int n
-- @tparam string word
-- @treturn int how many ids the list has now
function Cache:append(list, n, word)
  local ids = self.known[word] or look_up(self, word)
  for i = 1, #ids do
    list[n + i] = ids[i]
  end
  return n + #ids
end

return M
