package auth

// Role is what a principal is to the shop.
type Role string

// The roles.
const (
	RoleCustomer  Role = "customer"
	RoleSupport   Role = "support"
	RoleWarehouse Role = "warehouse"
	RoleAuditor   Role = "auditor"
	RoleAdmin     Role = "admin"
	RoleService   Role = "service"
	RoleImporter  Role = "importer"
)

// Permission is one right. A customer's right to what is its own needs no permission: see Principal.Owns.
type Permission string

// The permissions.
const (
	Shop           Permission = "shop"            // have a cart, place orders, as oneself
	ManageCatalog  Permission = "catalog.manage"  // create, revise, discontinue products
	ManageStock    Permission = "stock.manage"    // receive, adjust, set thresholds
	ReadStock      Permission = "stock.read"      // exact numbers on hand and reserved
	ManageOrders   Permission = "orders.manage"   // place, cancel, return for any customer
	ReadOrders     Permission = "orders.read"     // any customer's orders, payments, shipments, notifications
	Fulfil         Permission = "orders.fulfil"   // ship, deliver
	ManagePayments Permission = "payments.manage" // capture, void, refund
	ManagePeople   Permission = "customers.manage"
	ReadPeople     Permission = "customers.read" // any customer's profile, personal data included
	SetTier        Permission = "customers.tier"
	ReadReports    Permission = "reports.read"
	Operate        Permission = "operate"      // run the saga's and the workers' commands
	SetPrices      Permission = "orders.price" // a price per line with a reason; the import alone
	Administer     Permission = "administer"   // projections, dead letters, sagas
	ReviewAudit    Permission = "audit.review"
)

// Known reports whether the role is in the table of grants.
func (r Role) Known() bool { _, ok := grants[r]; return ok }

// grants is the one table of who may do what.
var grants = map[Role][]Permission{
	RoleCustomer:  {Shop},
	RoleSupport:   {ManageOrders, ReadOrders, ManagePayments, ManagePeople, ReadPeople, ReadStock},
	RoleWarehouse: {ManageStock, ReadStock, ReadOrders, Fulfil},
	RoleAuditor:   {ReadOrders, ReadStock, ReadReports, ReviewAudit},
	RoleAdmin: {ManageCatalog, ManageStock, ReadStock, ManageOrders, ReadOrders, Fulfil, ManagePayments, ManagePeople,
		ReadPeople, SetTier, ReadReports, Administer},
	RoleService: {Operate, ManageOrders, ReadOrders, Fulfil, ManagePayments, ManageStock, ReadStock, ReadPeople},
	RoleImporter: {ManageCatalog, ManageStock, ReadStock, ManageOrders, ReadOrders, ManagePeople, SetPrices, ManagePayments,
		Fulfil, ReadReports},
}
