--- Random choices for one sentence pair: words, numbers and shapes.
--
-- Owns: the generator, and the rule that no stem is drawn twice in a pair. It draws integers only,
-- so that a seed gives the same corpus on every machine. Leaves to others: the words (lexicon.lua),
-- the sentences (phenomena.lua).
local lexicon = require("fsam.data.acceptability.lexicon")
local mt19937 = require("fsam.data.mt19937")

local M = {}

local Draw = {}
Draw.__index = Draw

--- A source of choices.
-- @tparam integer seed
-- @treturn Draw
function M.new(seed)
  return setmetatable({ random = mt19937.new(seed), used = {} }, Draw)
end

--- Forgets which stems were used: a new pair begins.
function Draw:begin()
  self.used = {}
end

--- True in `percent` of a hundred cases.
function Draw:chance(percent)
  return self.random:interval(99) < percent
end

--- One value of a list of { weight in percent, value }; the weights add up to 100.
function Draw:weighted(list)
  local point = self.random:interval(99)
  for _, entry in ipairs(list) do
    if point < entry[1] then
      return entry[2]
    end
    point = point - entry[1]
  end
end

--- A stem of a class that the pair does not have yet.
function Draw:word(class)
  local list = lexicon.words[class]
  local word
  repeat
    word = list[self.random:interval(#list - 1) + 1]
  until not self.used[word]
  self.used[word] = true
  return word
end

--- "singular" or "plural".
function Draw:number()
  return self:chance(50) and "singular" or "plural"
end

--- The given grammatical number, or in `percent` of a hundred cases the other one.
function Draw:differing(number, percent)
  if self:chance(percent) then
    return number == "singular" and "plural" or "singular"
  end
  return number
end

--- A noun in a grammatical number: "key" or "keys".
function Draw:noun(number)
  local stem = self:word("noun")
  return number == "plural" and stem .. "s" or stem
end

--- The past form of a verb of a class: "greeted".
function Draw:past(class)
  return self:word(class) .. "ed"
end

--- A proper name.
function Draw:name()
  return self:word(self:chance(50) and "himself_name" or "herself_name")
end

--- A name, or an article and a noun.
function Draw:phrase()
  if self:chance(50) then
    return self:name()
  end
  return "the " .. self:noun(self:number())
end

--- A noun phrase that a reflexive ("himself") can refer to: "john", "the king".
function Draw:binder(reflexive)
  if reflexive == "themselves" then
    return "the " .. self:word(self:chance(50) and "himself_kin" or "herself_kin") .. "s"
  elseif self:chance(50) then
    return self:word(reflexive .. "_name")
  end
  return "the " .. self:word(reflexive .. "_kin")
end

return M
