--- What every reader of files does with a file of the wrong kind or size: one line that names the
-- file, at once, and before memory is taken for it. One table of readers, one of bad files.
local C = require("fsam.C")
local checkpoint = require("fsam.train.checkpoint")
local file = require("fsam.base.file")
local formats = require("fsam.formats")
local helper = require("spec.helper")
local inputs = require("fsam.predict.inputs")
local lfs = require("lfs")
local runs_of = require("fsam.compare.runs")
local text = require("fsam.text")
local tsv = require("fsam.data.tsv")

local WORDS = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n"
local MODEL = [[{"model_type": "bert", "vocab_size": 6, "hidden_size": 4, "num_hidden_layers": 1,
  "num_attention_heads": 1, "intermediate_size": 4, "max_position_embeddings": 8}]]

-- Where a file is read: its name, what lies beside it, and who reads it, given the folder.
local READERS = {
  { "vocab.txt", {}, text.load },
  { "tokenizer_config.json", { ["vocab.txt"] = WORDS }, text.load },
  { "special_tokens_map.json", { ["vocab.txt"] = WORDS }, text.load },
  { "added_tokens.json", { ["vocab.txt"] = WORDS }, text.load },
  { "tokenizer.json", { ["vocab.txt"] = WORDS }, text.load },
  { "vocab.json", { ["merges.txt"] = "" }, text.load },
  { "merges.txt", { ["vocab.json"] = '{"<s>": 0, "</s>": 1, "<pad>": 2}' }, text.load },
  { "config.json", { ["model.safetensors"] = "" }, formats.open },
  { "model.safetensors", { ["config.json"] = MODEL }, formats.open },
  { "model.safetensors.index.json", { ["config.json"] = MODEL }, formats.open },
  { "train.tsv", {}, function(folder)
    tsv.read(folder .. "/train.tsv", 4)
  end },
  { "texts.txt", {}, function(folder)
    inputs.read({ file = folder .. "/texts.txt" })
  end },
  { "texts.jsonl", {}, function(folder)
    inputs.read({ model = folder, file = folder .. "/texts.jsonl", text_column = "text" })
  end },
  { "trainer.json", {}, checkpoint.trainer },
  { "compare.json", {}, function(folder)
    runs_of.open({ save_dir = folder, recipe = "r", words = {} })
  end },
  { "results.json", { ["../compare.json"] = '{"recipe": "r", "words": ""}' }, function(folder)
    runs_of.open({ save_dir = file.parent(folder), recipe = "r", words = {} })
      :results({ folder = folder })
  end },
  { "train.log", { ["../compare.json"] = '{"recipe": "r", "words": ""}', ["results.json"] =
    [[{"finished": true, "best": {"epoch": 1, "mcc": 1}, "last": {"epoch": 1, "mcc": 1},
      "best_checkpoint_metric": "mcc", "updates": 1, "samples": 1, "evaluations": 1,
      "seconds": {"train": 1}}]] }, function(folder)
    runs_of.open({ save_dir = file.parent(folder), recipe = "r", words = {} })
      :results({ folder = folder })
  end },
}

local BAD = {
  ["a named pipe"] = "mkfifo %s",
  ["a device"] = "ln -s /dev/zero %s",
  ["a link to a pipe"] = "mkfifo %s.pipe && ln -s %s.pipe %s",
  ["a terabyte of nothing"] = "truncate -s 1T %s",
  ["one line of 100 MB"] = "truncate -s 100M %s",
}

-- What the system takes into memory for this process, at its most so far, in MB.
local function peak()
  return tonumber(helper.read_file("/proc/self/status"):match("VmHWM:%s+(%d+)")) / 1024
end

describe("a file of the wrong kind or size", function()
  local base, folder

  before_each(function()
    base = helper.temp_dir()
    folder = base .. "/folder"
    assert(lfs.mkdir(folder))
  end)

  after_each(function()
    helper.remove_dir(base)
  end)

  for what, command in pairs(BAD) do
    it("is refused at once by every reader: " .. what, function()
      for _, reader in ipairs(READERS) do
        local name, beside, read = unpack(reader)
        helper.shell(("rm -rf %s/*"):format(folder))
        for other, content in pairs(beside) do
          helper.write_file(folder .. "/" .. other, content)
        end
        local path = folder .. "/" .. name
        assert.equal(0, helper.shell(command:format(path, path, path)))
        collectgarbage()
        local from, memory = C.lib.fsam_clock(), peak()
        local ok, err = pcall(read, folder)
        local where = name .. ": " .. tostring(err)
        assert.is_false(ok, where)
        assert.matches(name, tostring(err), 1, true)
        assert.is_true(require("fsam.errors").is(err) and not tostring(err):find("\n"), where)
        assert.is_true(C.lib.fsam_clock() - from < 2, where)
        assert.is_true(peak() - memory < 50, where)
      end
    end)

    it("is no script either: " .. what, function()
      local path = folder .. "/script.lua"
      assert.equal(0, helper.shell(command:format(path, path, path)))
      local code, out, err = helper.fsam_lua({ path })
      assert.equal("", out)
      assert.matches("^fsam%-lua: [^\n]*script%.lua [^\n]+\n$", err)
      assert.equal(1, code)
    end)
  end

  it("is refused on standard input", function()
    finally(function()
      io.input(io.stdin)
    end)
    io.input("/dev/zero")
    local ok, err = pcall(file.standard_input, 2 ^ 20)
    assert.is_false(ok)
    assert.equal("standard input has more than 1048576 bytes, which is the most that is read",
      tostring(err))
    io.input(helper.write_file(folder .. "/in", ("x"):rep(2 ^ 20)))
    assert.equal(2 ^ 20, #file.standard_input(2 ^ 20))
    io.input(helper.write_file(folder .. "/in", ""))
    assert.equal("", file.standard_input(2 ^ 20))
  end)

  it("names the line that is too long; lines of the most bytes are read", function()
    local path, long = folder .. "/texts", ("x"):rep(2 ^ 20)
    for _, case in ipairs({ { "a\n" .. long .. "\n" .. long, true }, { long .. "\n", true },
      { long .. "x", false, 1 }, { "a\n\n" .. long .. "x\nb", false, 3 },
      { "a\n" .. long .. "\n" .. long .. "x", false, 3 } }) do
      helper.write_file(path, case[1])
      local ok, got = pcall(file.read, path, 2 ^ 30, true)
      local lines = { pcall(function()
        local list = {}
        for line in file.lines(path, 2 ^ 30) do
          list[#list + 1] = line
        end
        return table.concat(list, "\n")
      end) }
      assert.same({ case[2], case[2] }, { ok, lines[1] })
      if case[2] then
        assert.is_true(got == case[1] and lines[2] == case[1]:gsub("\n$", ""))
      else
        for _, err in ipairs({ got, lines[2] }) do
          assert.equal(("%s: line %d has more than 1048576 bytes; is it the right file?"):format(
            path, case[3]), tostring(err))
        end
      end
    end
  end)

  it("with more lines than a vocabulary has is refused", function()
    local path = helper.write_file(folder .. "/vocab.txt", ("\n"):rep(2 ^ 21 + 1))
    local ok, err = pcall(text.load, folder)
    assert.is_false(ok)
    assert.equal(path .. " has 2097153 lines, at most 2097152 are read; is it the right file?",
      tostring(err))
  end)
end)

describe("what a run adds to", function()
  it("is never another file, through a link, nor a pipe", function()
    local folder = helper.temp_dir()
    finally(function()
      helper.remove_dir(folder)
    end)
    local mine = helper.write_file(folder .. "/mine", "mine")
    local path = folder .. "/own"
    for made, what in pairs({ ["ln -s %s %s"] = "a link", ["mkfifo %.0s%s"] = "a pipe",
      ["ln -s /dev/null %.0s%s"] = "a device" }) do
      assert.equal(0, helper.shell(made:format(mine, path)))
      for name, open in pairs({
        log = function() return file.appender(path, "log") end,
        lock = function()
          local handle, held, reason = file.lock(path)
          assert.is_false(held)
          return handle or error(require("fsam.errors").new(reason), 0)
        end,
      }) do
        local ok, err = pcall(open)
        assert.is_false(ok, name .. " " .. what)
        assert.equal(("cannot write %s: it is a link or no regular file"):format(path),
          tostring(err))
      end
      os.remove(path)
      helper.shell(made:format(mine, path .. ".new"))
      assert.is_false((pcall(file.replace, path, "results")))
      assert.is_nil(lfs.attributes(path))
      os.remove(path .. ".new")
    end
    assert.equal("mine", helper.read_file(mine))
    file.replace(path, "results")
    assert.equal("results", helper.read_file(path))
    assert.is_nil(lfs.attributes(path .. ".new"))
  end)

  it("is a log that says whether its last line is whole, and a history of one's own", function()
    local folder = helper.temp_dir()
    finally(function()
      helper.remove_dir(folder)
    end)
    for content, torn in pairs({ [""] = false, ["a\n"] = false, a = true, ["a\nb"] = true }) do
      local path = helper.write_file(folder .. "/log", content)
      local log = file.appender(path, "log")
      assert.equal(torn, log:is_torn())
      log:write("more\n")
      log:flush()
      assert.equal(content .. "more\n", helper.read_file(path))
      log:close()
    end
    local path = folder .. "/history"
    file.appender(path, "history"):close()
    assert.equal("rw-------", lfs.attributes(path, "permissions"))
  end)
end)
