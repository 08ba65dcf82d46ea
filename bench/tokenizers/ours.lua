-- The tokenizers of fsam-lua, for bench/tokenizers/run.
--
--   fsam-lua ours.lua texts DATA FOLDER   writes FOLDER/english and FOLDER/unicode: JSON strings,
--                                         one a line
--   fsam-lua ours.lua time FOLDER         as peer.py's
local corpus = require("fsam.data.corpus")
local file = require("fsam.base.file")
local json = require("fsam.base.json")
local tasks = require("fsam.data.tasks")
local text = require("fsam.text")
local utf8 = require("fsam.base.utf8")

-- The sentences of CoLA and RTE, or of the built-in corpus where DATA has none.
local function english(data)
  local texts = {}
  local function add(dataset)
    for _, sample in ipairs(dataset.samples) do
      texts[#texts + 1], texts[#texts + 2] = sample.text, sample.pair
    end
  end
  for _, name in ipairs({ "cola", "rte" }) do
    if file.kind(data .. "/" .. name) then
      add(corpus.split(tasks.get(name), data .. "/" .. name, "train"))
    end
  end
  if #texts == 0 then
    add(corpus.open(tasks.get("cola")).train)
  end
  return texts
end

-- Texts of code points of every kind.
local function unicode()
  local state = 1
  local function upto(n)
    state = (state * 16807) % 2147483647
    return state % n + 1
  end
  local tops = { 0x80, 0x250, 0x700, 0x3100, 0xD7FF, 0x20000 }
  local texts = {}
  for i = 1, 5000 do
    local codes = {}
    for k = 1, upto(40) do
      local code = upto(tops[upto(#tops)]) - 1
      codes[k] = utf8.char((code < 0xD800 or code > 0xDFFF) and code or 0x20)
    end
    texts[i] = table.concat(codes)
  end
  return texts
end

local function write(path, texts)
  local lines = {}
  for i, line in ipairs(texts) do
    lines[i] = json.encode(line) .. "\n"
  end
  file.write(path, table.concat(lines))
end

local function lines_of(path)
  local texts = {}
  for line in file.read(path):gmatch("[^\n]+") do
    texts[#texts + 1] = json.decode(line, path)
  end
  return texts
end

if arg[1] == "texts" then
  write(arg[3] .. "/english", english(arg[2]))
  write(arg[3] .. "/unicode", unicode())
else
  io.stdout:setvbuf("line")
  for line in io.lines() do
    local name, path = line:match("^(%S+) (%S+)$")
    local texts, encoded = lines_of(path), {}
    local tokenizer = text.load(arg[2] .. "/" .. name)
    local began = os.clock()
    for i = 1, #texts do
      encoded[i] = tokenizer:encode(texts[i])
    end
    local seconds, checksum = os.clock() - began, 0
    for _, ids in ipairs(encoded) do
      for _, id in ipairs(ids) do
        checksum = (checksum * 31 + id) % 2147483647
      end
    end
    print(seconds, checksum)
  end
end
