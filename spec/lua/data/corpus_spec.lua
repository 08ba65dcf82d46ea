--- GLUE's CoLA folder: what is read, and the one line that each malformed input gets.

local corpus = require("fsam.data.corpus")
local tasks = require("fsam.data.tasks")
local lfs = require("lfs")

local REAL = "../shared/data/cola"

local COLA = tasks.get("cola")

local function read(folder)
  return corpus.open(COLA, folder)
end

local function split(folder, name)
  return corpus.split(COLA, folder, name)
end

describe("CoLA's corpus", function()
  local folder

  local function write(name, text)
    local file = assert(io.open(folder .. "/" .. name, "wb"))
    file:write(text)
    file:close()
  end

  local function message_of(...)
    local ok, err = pcall(...)
    assert.is_false(ok)
    return tostring(err)
  end

  before_each(function()
    folder = os.tmpname()
    os.remove(folder)
    assert(lfs.mkdir(folder))
    write("train.tsv", "gj04\t1\t\tThe sailors rode the breeze.\n"
      .. "gj04\t0\t*\tThe \"sailors\" rode breeze the.\n")
    write("dev.tsv", "ks08\t1\t\tIt rained.") -- no last newline, as the real file
    write("test.tsv", "index\tsentence\n0\tBill whistled.\n")
  end)

  after_each(function()
    for name in lfs.dir(folder) do
      os.remove(folder .. "/" .. name)
    end
    lfs.rmdir(folder)
  end)

  it("reads sentences and labels, quotes as characters", function()
    local data = read(folder .. "/")
    assert.same({
      { text = "The sailors rode the breeze.", label = 1 },
      { text = "The \"sailors\" rode breeze the.", label = 0 },
    }, data.train.samples)
    assert.same({ { text = "It rained.", label = 1 } }, data.dev.samples)
    assert.same({ "unacceptable", "acceptable" }, data.train.labels)
    assert.equal(folder .. "/", data.name)
  end)

  it("reads test without labels and without its header", function()
    assert.same({ { text = "Bill whistled." } }, split(folder, "test").samples)
  end)

  it("accepts CRLF and a byte order mark", function()
    write("dev.tsv", "\239\187\191ks08\t1\t\tIt rained.\r\nks08\t0\t*\tIt rain.\r\n")
    assert.same({ { text = "It rained.", label = 1 }, { text = "It rain.", label = 0 } },
      split(folder, "dev").samples)
  end)

  it("names file, line, got and expected when columns are wrong", function()
    write("train.tsv", "gj04\t1\t\tFine.\nonly one\n")
    assert.equal(folder .. "/train.tsv, line 2: got 1 tab-separated columns, expected 4",
      message_of(read, folder))
    write("train.tsv", "gj04\t1\t\tFine.\n\t\ngj04\t1\t\tFine.\n")
    assert.equal(folder .. "/train.tsv, line 2: got 2 tab-separated columns, expected 4",
      message_of(read, folder))
    write("test.tsv", "text\nBill whistled.\n")
    assert.equal(folder .. "/test.tsv, line 1: got 1 tab-separated columns, expected 2 (index, "
      .. "sentence)", message_of(split, folder, "test"))
  end)

  it("takes blank lines for no rows", function()
    write("train.tsv", "\ngj04\t1\t\tFine.\n  \r\n\ngj04\t0\t\tGood.\n\n")
    local data = split(folder, "train")
    assert.equal(2, #data.samples)
    assert.same({ 2, 5 }, data.lines)
  end)

  it("refuses text that is not UTF-8, with its line", function()
    write("train.tsv", "gj04\t1\t\tFine.\ngj04\t1\t\tcaf\233 .\n")
    assert.equal(folder .. "/train.tsv, line 2: byte 0xE9 is not UTF-8; if the file is ISO-8859-1, "
      .. "convert it (iconv -f ISO-8859-1 -t UTF-8)", message_of(read, folder))
    for _, mark in ipairs({ "\255\254", "\254\255" }) do
      write("train.tsv", mark .. "g\0j\0")
      assert.equal(folder .. "/train.tsv is UTF-16, expected UTF-8; convert it (iconv -f UTF-16 -t "
        .. "UTF-8)", message_of(read, folder))
    end
    write("train.tsv", "gj04\t1\t\tcaf\195\169 \0 \226\128\168 .\n")
    assert.equal(1, #split(folder, "train").samples)
  end)

  it("refuses labels other than 0 and 1", function()
    write("dev.tsv", "source\tlabel\tmark\tsentence\nks08\t1\t\tIt rained.\n")
    assert.equal(folder .. "/dev.tsv, line 1: got the label \"label\", expected 0 or 1 (column 2; "
      .. "the file has no header)", message_of(read, folder))
  end)

  it("refuses a missing folder, a missing file, a file for a folder, an empty file", function()
    assert.equal("the data folder " .. folder .. "/none does not exist; expected a folder with "
      .. "train.tsv and dev.tsv", message_of(read, folder .. "/none"))
    assert.equal(folder .. "/dev.tsv is a file; expected a folder with train.tsv and dev.tsv",
      message_of(read, folder .. "/dev.tsv"))
    write("train.tsv", "")
    assert.equal(folder .. "/train.tsv has no samples", message_of(read, folder))
    os.remove(folder .. "/dev.tsv")
    assert.equal(folder .. "/dev.tsv does not exist; a CoLA folder has train.tsv and dev.tsv",
      message_of(split, folder, "dev"))
    lfs.mkdir(folder .. "/dev.tsv")
    assert.equal(folder .. "/dev.tsv is a folder, expected a file",
      message_of(split, folder, "dev"))
    lfs.rmdir(folder .. "/dev.tsv")
  end)

  it("reads the real corpus", function()
    if not lfs.attributes(REAL) then
      pending("no " .. REAL)
      return
    end
    local data = read(REAL)
    local acceptable = 0
    for _, sample in ipairs(data.train.samples) do
      acceptable = acceptable + sample.label
    end
    assert.equal(8551, #data.train.samples)
    assert.equal(6023, acceptable)
    assert.equal(1043, #data.dev.samples)
    assert.equal("The mechanical doll wriggled itself loose.", data.dev.samples[3].text)
    assert.equal(1063, #split(REAL, "test").samples)
  end)
end)
